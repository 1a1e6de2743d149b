//! The way of an event into the store.
//!
//! One task owns the queue and the connection it writes through. It takes everything that is waiting, writes it in
//! one transaction, adds it to the totals in memory and answers every waiting request: group commit, without any
//! artificial delay. The totals are read anew by the same task, between two batches, so that cannot race a commit.

mod batch;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::clock::Clock;
use crate::config::Config;
use crate::event::Event;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};

/// How long a request waits for the ingest task, which itself gives up sooner.
const ANSWER_LIMIT: Duration = Duration::from_millis(2_800);

/// Readings anew that may wait at the same time.
const MAX_REFRESHES: usize = 16;

/// An event is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tracked {
    /// Whether its id was stored before, so that nothing was counted.
    pub duplicate: bool,
}

/// An event is not kept, and counted nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// More events wait already than the queue holds.
    #[error("too many events are waiting")]
    QueueFull,
    /// The store cannot take it now.
    #[error("the store cannot be written")]
    Unavailable,
    /// The database knows no such business.
    #[error("the database knows no such business")]
    UnknownBusiness,
    /// Another rule of the database refuses it.
    #[error("a rule of the database refuses the event")]
    Refused,
}

/// The handle of the ingest task.
#[derive(Debug, Clone)]
pub struct Ingest {
    queue: mpsc::Sender<Job>,
    /// As many permits as events may wait.
    places: Arc<Semaphore>,
    ready: Arc<AtomicBool>,
}

/// What the ingest task is asked to do.
#[derive(Debug)]
enum Job {
    Track(Box<Ticket>),
    Refresh(oneshot::Sender<bool>),
}

/// An event that waits to be written.
#[derive(Debug)]
struct Ticket {
    event: Event,
    queued: Instant,
    /// Given back when the event's batch begins.
    place: OwnedSemaphorePermit,
    answer: oneshot::Sender<Result<Tracked, IngestError>>,
}

impl Ingest {
    /// Starts the task. It brings the tables up to date and reads the totals first; the receiver tells how the first
    /// attempt went, after which it goes on trying.
    #[must_use]
    pub fn start(
        config: &Config,
        store: Store,
        metrics: Metrics,
        clock: Clock,
        lifecycle: &Lifecycle,
    ) -> (Self, oneshot::Receiver<Result<(), StoreError>>) {
        let places = config.ingest_queue_size.get() as usize;
        let (queue, jobs) = mpsc::channel(places + MAX_REFRESHES);
        let ready = Arc::new(AtomicBool::new(false));
        let (first, prepared) = oneshot::channel();
        let worker = worker::Worker::new(config, store, metrics, clock, ready.clone(), first);
        lifecycle.spawn("ingest", worker.run(jobs, lifecycle.ending().clone()));
        (Self { queue, places: Arc::new(Semaphore::new(places)), ready }, prepared)
    }

    /// Keeps `event`: `Ok` only once it is committed.
    pub async fn track(&self, event: Event) -> Result<Tracked, IngestError> {
        let Ok(place) = self.places.clone().try_acquire_owned() else { return Err(IngestError::QueueFull) };
        let (answer, answered) = oneshot::channel();
        let ticket = Ticket { event, queued: Instant::now(), place, answer };
        if self.queue.try_send(Job::Track(Box::new(ticket))).is_err() {
            return Err(IngestError::Unavailable);
        }
        match tokio::time::timeout(ANSWER_LIMIT, answered).await {
            Ok(Ok(answer)) => answer,
            _ => Err(IngestError::Unavailable),
        }
    }

    /// Counts the rows that other programs inserted and reads the totals from the store; says whether it could.
    pub async fn refresh(&self) -> bool {
        let (answer, answered) = oneshot::channel();
        if self.queue.try_send(Job::Refresh(answer)).is_err() {
            return false;
        }
        matches!(tokio::time::timeout(ANSWER_LIMIT, answered).await, Ok(Ok(true)))
    }

    /// Whether events can be written, as far as the task knows.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }
}
