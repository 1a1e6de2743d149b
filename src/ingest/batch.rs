//! One batch: from the events that wait to their answers.

use std::collections::{HashSet, VecDeque};
use std::ops::Range;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use uuid::Uuid;

use super::{IngestError, Ticket, Tracked};
use crate::event::Event;
use crate::store::{Store, StoreError, Written as Outcome};

/// The most events of one batch.
pub(super) const MAX_BATCH: usize = 1_024;

/// How long a batch may take with all its attempts.
const BATCH_LIMIT: Duration = Duration::from_millis(1_800);

/// An event that waited longer than this is refused, so that its answer does not come too late.
const QUEUE_LIMIT: Duration = Duration::from_secs(1);

/// How often a batch is tried again when another writer was in the way.
const MAX_CONFLICTS: u32 = 10;

/// What became of one event of a batch.
type Answer = Result<Tracked, IngestError>;

/// Events that are written together. Their ids differ.
#[derive(Default)]
pub(super) struct Batch {
    ids: HashSet<Uuid>,
    events: Vec<Event>,
    answers: Vec<oneshot::Sender<Answer>>,
}

impl Batch {
    /// Takes the first of `waiting`, as many as `store` writes together, up to one that repeats the id of another.
    pub(super) fn of(waiting: &mut VecDeque<Ticket>, store: &Store) -> Self {
        let mut batch = Self::default();
        let most = store.fits(waiting.iter().map(|ticket| &ticket.event).take(MAX_BATCH));
        while batch.events.len() < most
            && let Some(ticket) = waiting.pop_front_if(|ticket| !batch.ids.contains(&ticket.event.id))
        {
            batch.push(ticket);
        }
        batch
    }

    fn push(&mut self, ticket: Ticket) {
        if ticket.queued.elapsed() > QUEUE_LIMIT {
            let _ = ticket.answer.send(Err(IngestError::QueueFull));
            return;
        }
        drop(ticket.place);
        self.ids.insert(ticket.event.id);
        self.events.push(ticket.event);
        self.answers.push(ticket.answer);
    }

    /// Writes the events.
    pub(super) async fn write(self, store: &Store) -> Written {
        let mut attempt = Attempt::new(self.events.len());
        let gone = attempt.run(store, &self.events).await;
        Written {
            events: self.events,
            answers: self.answers,
            fates: attempt.fates,
            unsure: attempt.unsure,
            gone,
        }
    }
}

/// A batch that was written, as far as it could be.
pub(super) struct Written {
    events: Vec<Event>,
    answers: Vec<oneshot::Sender<Answer>>,
    fates: Vec<Fate>,
    /// Whether a connection broke before it told what became of its events.
    pub(super) unsure: bool,
    /// The error, if the store went away.
    pub(super) gone: Option<StoreError>,
}

impl Written {
    /// The events that the store has counted.
    pub(super) fn counted(&self) -> impl Iterator<Item = &Event> {
        let fates = self.events.iter().zip(&self.fates);
        fates.filter(|(_, fate)| **fate == Fate::Kept(Outcome::Counted)).map(|(event, _)| event)
    }

    /// Answers the requests.
    pub(super) fn answer(self) {
        for ((answer, fate), event) in self.answers.into_iter().zip(&self.fates).zip(&self.events) {
            // A caller that hung up does not hear that its event is kept.
            let _ = answer.send(fate.answer(event));
        }
    }
}

/// What is known of an event while its batch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Unwritten,
    Kept(Outcome),
    Refused { unknown_business: bool },
}

impl Fate {
    fn answer(self, event: &Event) -> Answer {
        match self {
            // An id that the service made is new; it is found in the store only where a first attempt to write it
            // came through although its answer was lost.
            Self::Kept(Outcome::Duplicate) => Ok(Tracked { duplicate: event.named }),
            Self::Kept(_) => Ok(Tracked { duplicate: false }),
            Self::Refused { unknown_business: true } => Err(IngestError::UnknownBusiness),
            Self::Refused { unknown_business: false } => Err(IngestError::Refused),
            Self::Unwritten => Err(IngestError::Unavailable),
        }
    }
}

/// The writing of one batch. An event that the database refuses is found by halving, and does not sink the others.
struct Attempt {
    deadline: Instant,
    fates: Vec<Fate>,
    conflicts: u32,
    /// Whether a connection broke before it told what became of its events.
    unsure: bool,
}

impl Attempt {
    fn new(events: usize) -> Self {
        Self {
            deadline: Instant::now() + BATCH_LIMIT,
            fates: vec![Fate::Unwritten; events],
            conflicts: 0,
            unsure: false,
        }
    }

    /// Writes `events`, in parts where it must; gives the error if the store went away.
    async fn run(&mut self, store: &Store, events: &[Event]) -> Option<StoreError> {
        let (whole, mut parts) = (0..events.len(), Vec::new());
        parts.push(whole);
        while let Some(part) = parts.pop() {
            let left = self.deadline.saturating_duration_since(Instant::now());
            let written = tokio::time::timeout(left, store.write(&events[part.clone()])).await;
            match written.unwrap_or(Err(StoreError::TimedOut)) {
                Ok(written) => self.note(&part, &written),
                Err(error) if error.is_refusal() => self.split(part, &error, &mut parts),
                Err(error) if self.may_retry(&error) => parts.push(part),
                Err(error) => return Some(error),
            }
        }
        None
    }

    fn note(&mut self, part: &Range<usize>, outcomes: &[Outcome]) {
        for (fate, outcome) in self.fates[part.clone()].iter_mut().zip(outcomes) {
            *fate = Fate::Kept(*outcome);
        }
    }

    fn split(&mut self, part: Range<usize>, error: &StoreError, parts: &mut Vec<Range<usize>>) {
        if part.len() == 1 {
            tracing::warn!("an event is refused: {error}");
            let unknown_business = matches!(error, StoreError::UnknownBusiness);
            self.fates[part.start] = Fate::Refused { unknown_business };
            return;
        }
        let middle = part.start + part.len() / 2;
        parts.extend([middle..part.end, part.start..middle]);
    }

    /// Another writer in the way is met again some times, a broken connection is replaced once: the ids make it
    /// harmless to write what may be written already.
    fn may_retry(&mut self, error: &StoreError) -> bool {
        if matches!(error, StoreError::Conflict(_)) {
            self.conflicts += 1;
            return self.conflicts <= MAX_CONFLICTS;
        }
        let first = !self.unsure;
        self.unsure = true;
        first && !matches!(error, StoreError::TimedOut) && Instant::now() < self.deadline
    }
}
