//! Queued events that are written together.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::handle::TrackRequest;
use super::{IngestError, TrackResult, Tracked};
use crate::event::{Event, EventKey};

/// The maximum number of events in a batch, unless one request has more.
pub(super) const MAX_BATCH: usize = 1_024;

/// The events of some requests, each key once, and the requests that wait for them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// The events, with distinct keys.
    pub(super) events: Vec<Event>,
    /// The result of each event; `None` until it is stored, spooled or refused.
    pub(super) results: Vec<Option<TrackResult>>,
    positions: HashMap<EventKey, usize>,
    requests: Vec<Waiting>,
    oldest: Option<Instant>,
}

/// A request that waits for its events.
#[derive(Debug)]
struct Waiting {
    /// For each event: its position in the batch, and whether it repeats the key of another one there.
    events: Vec<(usize, bool)>,
    reply: oneshot::Sender<Vec<TrackResult>>,
}

impl Batch {
    /// Takes the first requests of `queue`.
    pub(super) fn take(queue: &mut VecDeque<TrackRequest>) -> Self {
        Self::take_if(queue, |_| true)
    }

    /// Takes those requests of `queue` that have waited for longer than `limit`.
    pub(super) fn take_late(queue: &mut VecDeque<TrackRequest>, limit: Duration) -> Self {
        Self::take_if(queue, |request| request.queued_at.elapsed() > limit)
    }

    /// Takes requests as long as the next one is `wanted` and fits into [`MAX_BATCH`]; the first one always
    /// fits.
    fn take_if(queue: &mut VecDeque<TrackRequest>, wanted: impl Fn(&TrackRequest) -> bool) -> Self {
        let mut batch = Self::default();
        while let Some(request) = queue.pop_front_if(|request| wanted(request) && batch.has_room_for(request))
        {
            batch.push(request);
        }
        batch
    }

    fn has_room_for(&self, request: &TrackRequest) -> bool {
        self.events.is_empty() || self.events.len() + request.events.len() <= MAX_BATCH
    }

    fn push(&mut self, request: TrackRequest) {
        drop(request.places);
        self.oldest.get_or_insert(request.queued_at);
        let events = request.events.into_iter().map(|event| {
            let next = self.events.len();
            let position = *self.positions.entry(event.key()).or_insert(next);
            if position == next {
                self.events.push(event);
            }
            (position, position != next)
        });
        let events = events.collect();
        self.requests.push(Waiting { events, reply: request.reply });
        self.results.resize(self.events.len(), None);
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Returns when the oldest of the requests was queued.
    pub(super) fn oldest(&self) -> Instant {
        self.oldest.unwrap_or_else(Instant::now)
    }

    /// Returns the positions of the events that have no result yet.
    pub(super) fn pending(&self) -> Vec<usize> {
        let results = self.results.iter().enumerate();
        results.filter(|(_, result)| result.is_none()).map(|(position, _)| position).collect()
    }

    /// Replies to the requests. Events without a result have failed with `otherwise`.
    pub(super) fn reply(self, otherwise: IngestError) {
        for request in self.requests {
            let results = request.events.iter().map(|(position, repeats)| {
                let tracked = self.results[*position].unwrap_or(Err(otherwise))?;
                Ok(Tracked { duplicate: tracked.duplicate || *repeats, ..tracked })
            });
            // The caller may have hung up.
            let _ = request.reply.send(results.collect());
        }
    }
}

#[cfg(test)]
mod tests {

    use chrono::DateTime;

    use super::*;
    use crate::event::Report;
    use crate::fair_share::{FairShare, Tenant};

    fn request(events: usize) -> TrackRequest {
        let body = br#"{"business_id":"b","response_time_ms":1,"tokens_used":1}"#;
        let event = || Report::parse(body).unwrap().into_event(None, DateTime::UNIX_EPOCH).unwrap();
        let places = FairShare::new(1).take(Tenant::Business("b".to_owned()), 1).unwrap();
        let events = (0..events).map(|_| event()).collect();
        TrackRequest { events, queued_at: Instant::now(), places, reply: oneshot::channel().0 }
    }

    #[test]
    fn requests_are_taken_together_and_the_events_of_one_are_never_split() {
        let taken = |requests: &[usize]| {
            let mut queue: VecDeque<TrackRequest> = requests.iter().map(|events| request(*events)).collect();
            let batch = Batch::take(&mut queue);
            (batch.events.len(), queue.iter().map(|request| request.events.len()).sum())
        };
        assert_eq!(taken(&[1; 64]), (64, 0));
        assert_eq!(taken(&[500, 500, 500]), (1_000, 500));
        assert_eq!(
            taken(&[2_000, 1]),
            (2_000, 1),
            "the events of a request come together, however many they are"
        );
        assert_eq!(taken(&vec![1; 4_000]), (MAX_BATCH, 4_000 - MAX_BATCH));
    }
}
