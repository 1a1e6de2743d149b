//! The line in front of the store: events that wait, and groups of them that are being written.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::aside::{put_all_by, put_by};
use super::batch::Attempt;
use super::upkeep::Upkeep;
use super::waiting::Group;
use super::{IngestError, Ticket};
use crate::store::{Standing, StoreError};

/// So many events that wait are worth another connection beside one that writes. Fewer are written sooner together: each
/// commit has its own cost.
const WORTH_ANOTHER: usize = 16;

/// The store went away.
pub(super) struct Gone(pub(super) StoreError);

/// Says whether upkeep is due.
type Write<'u> = Pin<Box<dyn Future<Output = Result<bool, Gone>> + Send + 'u>>;

/// What waits, and what is being written.
pub(super) struct Line<'u> {
    pub(super) waiting: VecDeque<Ticket>,
    pub(super) writes: FuturesUnordered<Write<'u>>,
    upkeep: &'u Upkeep,
    store_timeout: Duration,
}

impl<'u> Line<'u> {
    /// Nobody waits yet.
    pub(super) fn new(upkeep: &'u Upkeep, store_timeout: Duration) -> Self {
        Self { waiting: VecDeque::new(), writes: FuturesUnordered::new(), upkeep, store_timeout }
    }

    /// Begins to write what waits, in at most so many groups at the same time.
    pub(super) fn begin(&mut self, most: usize) {
        while self.may_begin(most) {
            let group = Group::take(&mut self.waiting);
            self.writes.push(Box::pin(write(self.upkeep, group, self.store_timeout)));
        }
    }

    fn may_begin(&self, most: usize) -> bool {
        match self.writes.len() {
            0 => !self.waiting.is_empty(),
            running => running < most && has_events(&self.waiting, WORTH_ANOTHER),
        }
    }

    /// Puts by what waited for half of its time: it would come too late if the store took as long as it may.
    pub(super) async fn put_late_by(&mut self) {
        let late = Group::take_late(&mut self.waiting, self.store_timeout / 2);
        if !late.is_empty() {
            put_by(self.upkeep, late, Standing::Unsent).await;
        }
    }

    /// Puts by what waits when the store went away, after what is being written came to its end.
    pub(super) async fn put_by(&mut self) {
        while self.writes.next().await.is_some() {}
        put_all_by(self.upkeep, &mut self.waiting).await;
    }
}

/// Whether tickets have at least so many events.
fn has_events(tickets: &VecDeque<Ticket>, least: usize) -> bool {
    let mut events = 0;
    tickets.iter().any(|ticket| {
        events += ticket.events.len();
        events >= least
    })
}

/// Writes events, and answers who waits for them; says whether upkeep is due.
async fn write(upkeep: &Upkeep, mut group: Group, store_timeout: Duration) -> Result<bool, Gone> {
    upkeep.find_spooled(&mut group).await;
    let limit = store_timeout.saturating_sub(group.oldest().elapsed());
    let Group { events, fates, .. } = &mut group;
    let attempt = Attempt::run(&upkeep.store, events, fates, false, limit).await;
    let shown = upkeep.count_stored(attempt.counted).await;
    match group.unkept().is_empty() {
        true => group.answer(IngestError::Unavailable),
        false => put_by(upkeep, group, Standing::Unsure).await,
    }
    attempt.gone.map_or(Ok(attempt.broke || shown.is_err()), |error| Err(Gone(error)))
}
