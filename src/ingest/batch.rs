//! Writing events to the store, those of many requests together.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::waiting::Fate;
use super::{IngestError, Kept, Tracked};
use crate::event::Event;
use crate::store::{Counted, Outcome, Store, StoreError, Written};

/// How often a batch is tried again when another writer was in the way.
const MAX_CONFLICTS: u32 = 10;

/// How the writing of some events went.
#[derive(Debug, Default)]
pub(super) struct Attempt {
    /// What the events add up to that the store has counted.
    pub(super) counted: Counted,
    /// Whether a connection broke before it told what became of its events.
    pub(super) broke: bool,
    /// The error, if the store went away.
    pub(super) gone: Option<StoreError>,
    again: bool,
    conflicts: u32,
}

impl Attempt {
    /// Writes those of `events` that nobody has within `limit`, in parts where it must: one that the database refuses is found by halving, and does
    /// not sink the others. What becomes of each goes into `fates`. `again` as in [`Store::write`].
    pub(super) async fn run(
        store: &Store,
        events: &[Event],
        fates: &mut [Fate],
        again: bool,
        limit: Duration,
    ) -> Self {
        let (mut attempt, deadline) = (Self { again, ..Self::default() }, Instant::now() + limit);
        let mut parts = unkept(fates);
        while let Some(part) = parts.pop() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let written = store.write(&events[part.clone()], attempt.again, left).await;
            match written {
                Ok(written) => attempt.note(&events[part.clone()], &mut fates[part], written),
                Err(error) if error.is_refusal() => split(fates, part, &error, &mut parts),
                Err(error) if attempt.may_retry(&error) => parts.push(part),
                Err(error) => {
                    attempt.gone = Some(error);
                    break;
                }
            }
        }
        attempt
    }

    fn note(&mut self, events: &[Event], fates: &mut [Fate], written: Written) {
        for ((fate, event), outcome) in fates.iter_mut().zip(events).zip(written.outcomes) {
            *fate = Fate::Kept(tracked(event, outcome));
        }
        self.counted.add(written.counted);
    }

    /// Another writer in the way is met again some times, a broken connection is replaced once: the ids make it
    /// harmless to write what may be written already.
    fn may_retry(&mut self, error: &StoreError) -> bool {
        if matches!(error, StoreError::Conflict(_)) {
            self.conflicts += 1;
            return self.conflicts <= MAX_CONFLICTS;
        }
        let first = !self.broke;
        (self.broke, self.again) = (true, true);
        first && !matches!(error, StoreError::TimedOut)
    }
}

/// The stretches of events that nobody has, the first one last.
fn unkept(fates: &[Fate]) -> Vec<Range<usize>> {
    let mut start = 0;
    let stretches = fates.chunk_by(|a, b| (*a == Fate::Unkept) == (*b == Fate::Unkept)).map(|stretch| {
        start += stretch.len();
        (stretch[0], start - stretch.len()..start)
    });
    let unkept = stretches.filter(|(fate, _)| *fate == Fate::Unkept).map(|(_, range)| range);
    unkept.collect::<Vec<_>>().into_iter().rev().collect()
}

/// An id that the service made is new; it is found in the store only where a first attempt to write it came through
/// although its answer was lost.
fn tracked(event: &Event, outcome: Outcome) -> Tracked {
    let (repeated, kept) = match outcome {
        Outcome::Counted | Outcome::Claimed => (false, Kept::Stored),
        Outcome::Duplicate => (true, Kept::Stored),
        Outcome::Unkept => (false, Kept::Counted),
        Outcome::UnkeptDuplicate => (true, Kept::Counted),
    };
    Tracked { duplicate: repeated && event.named, kept }
}

fn split(fates: &mut [Fate], part: Range<usize>, error: &StoreError, parts: &mut Vec<Range<usize>>) {
    if part.len() == 1 {
        tracing::warn!("an event is refused: {error}");
        fates[part.start] = Fate::Refused(refusal(error));
        return;
    }
    let middle = part.start + part.len() / 2;
    parts.extend([middle..part.end, part.start..middle]);
}

const fn refusal(error: &StoreError) -> IngestError {
    match error {
        StoreError::UnknownBusiness => IngestError::UnknownBusiness,
        _ => IngestError::Refused,
    }
}
