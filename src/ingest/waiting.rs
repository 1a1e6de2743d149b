//! Events that wait for the ingest task, and how they come together.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use uuid::Uuid;

use super::{Answer, IngestError, Ticket, Tracked};
use crate::event::Event;

/// The most events that are written together, unless one request brings more.
pub(super) const MAX_TOGETHER: usize = 1_024;

/// Events of some requests, each id once, and who waits for them.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// The events. Their ids differ.
    pub(super) events: Vec<Event>,
    /// What is known of each so far.
    pub(super) fates: Vec<Fate>,
    places: HashMap<Uuid, usize>,
    requests: Vec<Request>,
    oldest: Option<Instant>,
}

/// A request that waits for its events.
#[derive(Debug)]
struct Request {
    /// For each: where it is among the group's, and whether it repeats the id of another one there.
    events: Vec<(usize, bool)>,
    answer: oneshot::Sender<Vec<Answer>>,
}

/// What is known of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nobody has it.
    Unkept,
    /// It is kept; see [`Tracked`].
    Kept(Tracked),
    /// The database refuses it.
    Refused(IngestError),
}

impl Group {
    /// Takes the first of `waiting`.
    pub(super) fn take(waiting: &mut VecDeque<Ticket>) -> Self {
        Self::take_if(waiting, |_| true)
    }

    /// Takes those of `waiting` that have waited for longer than `limit`.
    pub(super) fn take_late(waiting: &mut VecDeque<Ticket>, limit: Duration) -> Self {
        Self::take_if(waiting, |ticket| ticket.queued.elapsed() > limit)
    }

    /// Takes tickets as long as the next one is `wanted`, of [`MAX_TOGETHER`] events, unless the first one brings more.
    fn take_if(waiting: &mut VecDeque<Ticket>, wanted: impl Fn(&Ticket) -> bool) -> Self {
        let mut group = Self::default();
        while let Some(ticket) = waiting.pop_front_if(|ticket| wanted(ticket) && group.has_room_for(ticket)) {
            group.push(ticket);
        }
        group
    }

    fn has_room_for(&self, ticket: &Ticket) -> bool {
        self.events.is_empty() || self.events.len() + ticket.events.len() <= MAX_TOGETHER
    }

    fn push(&mut self, ticket: Ticket) {
        drop(ticket.places);
        self.oldest.get_or_insert(ticket.queued);
        let events = ticket.events.into_iter().map(|event| {
            let next = self.events.len();
            let place = *self.places.entry(event.id).or_insert(next);
            if place == next {
                self.events.push(event);
            }
            (place, place != next)
        });
        let events = events.collect();
        self.requests.push(Request { events, answer: ticket.answer });
        self.fates.resize(self.events.len(), Fate::Unkept);
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// When the oldest of the requests came.
    pub(super) fn oldest(&self) -> Instant {
        self.oldest.unwrap_or_else(Instant::now)
    }

    /// Where the events are that nobody has.
    pub(super) fn unkept(&self) -> Vec<usize> {
        let places = self.fates.iter().enumerate();
        places.filter(|(_, fate)| **fate == Fate::Unkept).map(|(place, _)| place).collect()
    }

    /// Answers the requests; `otherwise` is told of events that nobody has.
    pub(super) fn answer(self, otherwise: IngestError) {
        for request in self.requests {
            let answers = request.events.iter().map(|(place, repeats)| match self.fates[*place] {
                Fate::Unkept => Err(otherwise),
                Fate::Refused(why) => Err(why),
                Fate::Kept(tracked) => Ok(Tracked { duplicate: tracked.duplicate || *repeats, ..tracked }),
            });
            // A caller that hung up does not hear that its events are kept.
            let _ = request.answer.send(answers.collect());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::DateTime;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::event::Report;

    fn ticket(events: usize) -> Ticket {
        let body = br#"{"business_id":"b","response_time_ms":1,"tokens_used":1}"#;
        let event = || Report::parse(body).unwrap().into_event(None, DateTime::UNIX_EPOCH).unwrap();
        let places = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let events = (0..events).map(|_| event()).collect();
        Ticket { events, queued: Instant::now(), places, answer: oneshot::channel().0 }
    }

    #[test]
    fn what_waits_is_taken_together_without_parting_the_events_of_a_request() {
        let taken = |requests: &[usize]| {
            let mut waiting: VecDeque<Ticket> = requests.iter().map(|events| ticket(*events)).collect();
            let group = Group::take(&mut waiting);
            (group.events.len(), waiting.iter().map(|ticket| ticket.events.len()).sum())
        };
        assert_eq!(taken(&[1; 64]), (64, 0));
        assert_eq!(taken(&[500, 500, 500]), (1_000, 500));
        assert_eq!(
            taken(&[2_000, 1]),
            (2_000, 1),
            "the events of a request come together, however many they are"
        );
        assert_eq!(taken(&vec![1; 4_000]), (MAX_TOGETHER, 4_000 - MAX_TOGETHER));
    }
}
