//! One attempt to write events to the store.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::{Destination, IngestError, TrackResult, Tracked};
use crate::event::Event;
use crate::store::{CountedRollup, Outcome, Store, StoreError, Written};

/// How often a write is retried when another writer was in the way.
const MAX_CONFLICTS: u32 = 10;

/// How an attempt went.
#[derive(Debug, Default)]
pub(super) struct WriteAttempt {
    /// What the events add up to that the store has counted.
    pub(super) counted: CountedRollup,
    /// Whether a connection broke before it told what became of its events.
    pub(super) broke: bool,
    /// The error, if the store became unavailable.
    pub(super) lost: Option<StoreError>,
    again: bool,
    conflicts: u32,
}

impl WriteAttempt {
    /// Writes those of `events` that have no result within `limit`, and sets the results. An event that the database refuses
    /// is found by bisection and does not sink the others. `again` as in [`Store::write`].
    pub(super) async fn run(
        store: &Store,
        events: &[Event],
        results: &mut [Option<TrackResult>],
        again: bool,
        limit: Duration,
    ) -> Self {
        let (mut attempt, deadline) = (Self { again, ..Self::default() }, Instant::now() + limit);
        let mut parts = pending(results);
        while let Some(part) = parts.pop() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let written = store.write(&events[part.clone()], attempt.again, left).await;
            match written {
                Ok(written) => attempt.record(&events[part.clone()], &mut results[part], written),
                Err(error) if error.is_refusal() => bisect(results, part, &error, &mut parts),
                Err(error) if attempt.may_retry(&error) => parts.push(part),
                Err(error) => {
                    attempt.lost = Some(error);
                    break;
                }
            }
        }
        attempt
    }

    fn record(&mut self, events: &[Event], results: &mut [Option<TrackResult>], written: Written) {
        for ((result, event), outcome) in results.iter_mut().zip(events).zip(written.outcomes) {
            *result = Some(Ok(tracked(event, outcome)));
        }
        self.counted.add(written.counted);
    }

    /// Conflicts with other writers are retried some times, and a broken connection once: the ids make it harmless to write
    /// what may be written already.
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

/// The ranges of events without a result, the first one last.
fn pending(results: &[Option<TrackResult>]) -> Vec<Range<usize>> {
    let mut start = 0;
    let ranges = results.chunk_by(|a, b| a.is_none() == b.is_none()).map(|chunk| {
        start += chunk.len();
        (chunk[0].is_none(), start - chunk.len()..start)
    });
    let pending = ranges.filter(|(is_pending, _)| *is_pending).map(|(_, range)| range);
    pending.collect::<Vec<_>>().into_iter().rev().collect()
}

/// An id that the service made is new: it is found in the store only where a first attempt to write it came through
/// although its reply was lost.
fn tracked(event: &Event, outcome: Outcome) -> Tracked {
    let (repeated, destination) = match outcome {
        Outcome::Counted | Outcome::Claimed => (false, Destination::Store),
        Outcome::Duplicate => (true, Destination::Store),
        Outcome::CountedOnly => (false, Destination::CountedOnly),
        Outcome::CountedOnlyDuplicate => (true, Destination::CountedOnly),
    };
    Tracked { duplicate: repeated && event.named, destination }
}

/// Splits a part of which the database refuses something, until the refused event stands alone.
fn bisect(
    results: &mut [Option<TrackResult>],
    part: Range<usize>,
    error: &StoreError,
    parts: &mut Vec<Range<usize>>,
) {
    if part.len() == 1 {
        tracing::warn!("the database refuses an event: {error}");
        results[part.start] = Some(Err(refusal(error)));
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
