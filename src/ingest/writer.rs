//! Writes queued events in batches, on Postgres two at a time.
//!
//! What it buys: while one batch waits for the disk, a second connection prepares the next. `bench/README.md`
//! ("What limits each figure") has how long a batch waits, and how one to four batches at a time compare.
//!
//! It can go where commits do not wait for the disk, or where one batch at a time is measured to be as fast.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::IngestError;
use super::attempt::WriteAttempt;
use super::batch::Batch;
use super::handle::TrackRequest;
use super::sink::Sink;
use super::spill::{spill, spill_all};
use crate::spool::Delivery;
use crate::store::StoreError;

/// The minimum number of queued events for beginning a second batch while one is being written. Fewer are
/// faster in one batch, because each commit has a fixed cost.
const MIN_CONCURRENT_BATCH: usize = 16;

/// The store became unavailable.
pub(super) struct StoreLost(pub(super) StoreError);

/// A batch that is being written. Resolves to whether maintenance is due.
type Write<'s> = Pin<Box<dyn Future<Output = Result<bool, StoreLost>> + Send + 's>>;

/// The queue, and the batches that are being written.
pub(super) struct Writer<'s> {
    pub(super) queue: VecDeque<TrackRequest>,
    pub(super) writes: FuturesUnordered<Write<'s>>,
    sink: &'s Sink,
    store_timeout: Duration,
}

impl<'s> Writer<'s> {
    /// Creates a writer with an empty queue.
    pub(super) fn new(sink: &'s Sink, store_timeout: Duration) -> Self {
        Self { queue: VecDeque::new(), writes: FuturesUnordered::new(), sink, store_timeout }
    }

    /// Begins to write queued events, in at most `max_writes` concurrent batches.
    pub(super) fn begin(&mut self, max_writes: usize) {
        while self.may_begin(max_writes) {
            let batch = Batch::take(&mut self.queue);
            self.writes.push(Box::pin(write(self.sink, batch, self.store_timeout)));
        }
    }

    fn may_begin(&self, max_writes: usize) -> bool {
        match self.writes.len() {
            0 => !self.queue.is_empty(),
            running => running < max_writes && has_events(&self.queue, MIN_CONCURRENT_BATCH),
        }
    }

    /// Spills requests that have been queued for half of the store's time limit: they would be late if the
    /// store used the rest.
    pub(super) async fn spill_late(&mut self) {
        let late = Batch::take_late(&mut self.queue, self.store_timeout / 2);
        if !late.is_empty() {
            spill(self.sink, late, Delivery::Unsent).await;
        }
    }

    /// Spills the queue once the batches that are being written have ended.
    pub(super) async fn spill_rest(&mut self) {
        while self.writes.next().await.is_some() {}
        spill_all(self.sink, &mut self.queue).await;
    }
}

/// Returns whether the requests have at least `least` events.
fn has_events(requests: &VecDeque<TrackRequest>, least: usize) -> bool {
    let mut events = 0;
    requests.iter().any(|request| {
        events += request.events.len();
        events >= least
    })
}

/// Writes a batch and replies to its requests. Returns whether maintenance is due.
async fn write(sink: &Sink, mut batch: Batch, store_timeout: Duration) -> Result<bool, StoreLost> {
    sink.find_spooled(&mut batch).await;
    let limit = store_timeout.saturating_sub(batch.oldest().elapsed());
    let Batch { events, results, .. } = &mut batch;
    let attempt = WriteAttempt::run(&sink.store, events, results, false, limit).await;
    let shown = sink.add_stored(attempt.counted).await;
    match batch.pending().is_empty() {
        true => batch.reply(IngestError::Unavailable),
        false => spill(sink, batch, Delivery::Unconfirmed).await,
    }
    attempt.lost.map_or(Ok(attempt.broke || shown.is_err()), |error| Err(StoreLost(error)))
}
