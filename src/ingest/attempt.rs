//! One attempt to write events to the store.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::{Destination, IngestError, TrackResult, Tracked};
use crate::event::Event;
use crate::store::{CountedRollup, Store, StoreError, WriteOutcome, Written};

/// The number of retries after conflicts with other writers.
const MAX_CONFLICTS: u32 = 10;

/// The result of an attempt.
#[derive(Debug, Default)]
pub(super) struct WriteAttempt {
    /// The sums of the events that the store has counted.
    pub(super) counted: CountedRollup,
    /// Whether a connection broke before the outcome was known.
    pub(super) broke: bool,
    /// The error, if the store became unavailable.
    pub(super) lost: Option<StoreError>,
    again: bool,
    conflicts: u32,
}

impl WriteAttempt {
    /// Writes those of `events` that have no result, within `limit`, and sets their results. An event that
    /// the database rejects is found by bisection, and the others are written. For `again` see
    /// [`Store::write`].
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

    /// Returns whether to retry after `error`: a few times after conflicts with other writers, once after a
    /// broken connection. The ids make it safe to repeat a write that may have succeeded.
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

/// Returns the ranges of events without a result, the first one last.
fn pending(results: &[Option<TrackResult>]) -> Vec<Range<usize>> {
    let mut start = 0;
    let ranges = results.chunk_by(|a, b| a.is_none() == b.is_none()).map(|chunk| {
        start += chunk.len();
        (chunk[0].is_none(), start - chunk.len()..start)
    });
    let pending = ranges.filter(|(is_pending, _)| *is_pending).map(|(_, range)| range);
    pending.collect::<Vec<_>>().into_iter().rev().collect()
}

/// Returns the result of an event. An id that the service created is never a duplicate: it is in the store
/// only if an earlier attempt succeeded but its reply was lost.
fn tracked(event: &Event, outcome: WriteOutcome) -> Tracked {
    let (repeated, destination) = match outcome {
        WriteOutcome::Counted | WriteOutcome::Claimed => (false, Destination::Store),
        WriteOutcome::Duplicate => (true, Destination::Store),
        WriteOutcome::CountedOnly => (false, Destination::CountedOnly),
        WriteOutcome::CountedOnlyDuplicate => (true, Destination::CountedOnly),
    };
    Tracked { duplicate: repeated && event.named, destination }
}

/// Splits a part that contains a rejected event, or sets the result of that event if the part contains only
/// it.
fn bisect(
    results: &mut [Option<TrackResult>],
    part: Range<usize>,
    error: &StoreError,
    parts: &mut Vec<Range<usize>>,
) {
    if part.len() == 1 {
        tracing::warn!("event rejected: {error}");
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
