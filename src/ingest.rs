//! The way of an event into the store.
//!
//! One task owns the queue and the connections it writes through. It takes everything that is waiting, writes it in
//! one transaction, adds it to the totals in memory and answers every waiting request: group commit, without any artificial
//! delay. While one group waits for the disk, another may be written through a second connection. The totals are read
//! anew as they are at a moment when nothing is being written, so that cannot race a commit.
//!
//! What the store cannot take in time goes into the spool, and from there to the store when it is back.

mod aside;
mod batch;
mod line;
mod reading;
mod replay;
mod settle;
mod upkeep;
mod waiting;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::clock::Clock;
use crate::config::{Config, Database};
use crate::event::Event;
use crate::lifecycle::Lifecycle;
use crate::metrics::{Metrics, SpoolReading};
use crate::store::{Spool, Store, StoreError};

/// How long a request waits for the ingest task, which itself gives up sooner.
const ANSWER_LIMIT: Duration = Duration::from_millis(2_900);

/// Readings anew that may wait at the same time.
const MAX_REFRESHES: usize = 16;

/// An event is kept, or at least counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tracked {
    /// Whether its id was kept before, so that nothing was counted.
    pub duplicate: bool,
    /// Where it is.
    pub kept: Kept,
}

/// Where an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// In the store.
    Stored,
    /// In the spool, on its way to the store.
    Spooled,
    /// Nowhere: it is counted, and its id is known, but its customer has not consented to more.
    Counted,
}

/// An event is not kept, and counted nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// More events wait already than the queue holds.
    #[error("too many events are waiting")]
    QueueFull,
    /// Neither the store nor the spool can take it now.
    #[error("the store cannot be written")]
    Unavailable,
    /// The database knows no such business.
    #[error("the database knows no such business")]
    UnknownBusiness,
    /// Another rule of the database refuses it.
    #[error("a rule of the database refuses the event")]
    Refused,
}

/// What becomes of an event.
type Answer = Result<Tracked, IngestError>;

/// The handle of the ingest task.
#[derive(Debug, Clone)]
pub struct Ingest {
    queue: mpsc::Sender<Job>,
    /// As many permits as events may wait.
    places: Arc<Semaphore>,
    max_places: usize,
    ready: Arc<AtomicBool>,
    spool: Option<Arc<Spool>>,
}

/// What the ingest task is asked to do.
#[derive(Debug)]
enum Job {
    Track(Ticket),
    Refresh(oneshot::Sender<bool>),
    Settle(Settle),
}

/// Tells events of one person from others.
pub type Theirs = Arc<dyn Fn(&Event) -> bool + Send + Sync>;

/// A wish that everything that came before it be in the store.
struct Settle {
    /// Whose events are taken out of the spool for good, where the store refuses them.
    theirs: Option<Theirs>,
    answer: oneshot::Sender<Result<u64, StoreError>>,
}

impl fmt::Debug for Settle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Settle")
    }
}

/// Events of one request, which wait to be written together.
#[derive(Debug)]
struct Ticket {
    events: Vec<Event>,
    queued: Instant,
    /// Given back when the events are taken.
    places: OwnedSemaphorePermit,
    answer: oneshot::Sender<Vec<Answer>>,
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
        let settling = Arc::<settle::Settling>::default();
        lifecycle.spawn("rollups", settling.clone().run(store.clone(), lifecycle.ending().clone()));
        let spool = spool(config).map(Arc::new);
        if let Some(spool) = spool.clone() {
            let clock = clock.clone();
            metrics.show_spool(move || reading(&spool, clock.now()));
        }
        let upkeep = upkeep::Upkeep::new(config, store, metrics, clock, spool.clone(), settling);
        let worker = worker::Worker::new(config, upkeep, ready.clone(), first);
        lifecycle.spawn("ingest", worker.run(jobs, lifecycle.ending().clone()));
        let ingest =
            Self { queue, places: Arc::new(Semaphore::new(places)), max_places: places, ready, spool };
        (ingest, prepared)
    }

    /// Keeps `event`: `Ok` only once it is committed, to the store or to the spool.
    pub async fn track(&self, event: Event) -> Result<Tracked, IngestError> {
        let answers = self.track_all(vec![event]).await?;
        answers.into_iter().next().unwrap_or(Err(IngestError::Unavailable))
    }

    /// Keeps `events` together, and tells of each what became of it.
    pub async fn track_all(
        &self,
        events: Vec<Event>,
    ) -> Result<Vec<Result<Tracked, IngestError>>, IngestError> {
        // More events than there are places wait when nothing else does.
        let places = u32::try_from(events.len().min(self.max_places)).unwrap_or(u32::MAX);
        let Ok(places) = self.places.clone().try_acquire_many_owned(places) else {
            return Err(IngestError::QueueFull);
        };
        let (answer, answered) = oneshot::channel();
        let ticket = Ticket { events, queued: Instant::now(), places, answer };
        if self.queue.try_send(Job::Track(ticket)).is_err() {
            return Err(IngestError::Unavailable);
        }
        match tokio::time::timeout(ANSWER_LIMIT, answered).await {
            Ok(Ok(answers)) => Ok(answers),
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

    /// Waits until all events that came before are in the store, those in the spool too. With `theirs`, events of the spool
    /// that the store refuses and that are theirs are counted in the store without a row and taken out of the spool for
    /// good; gives their number.
    pub async fn settle(&self, theirs: Option<Theirs>) -> Result<u64, StoreError> {
        let is_empty = |spool: &Arc<Spool>| spool.works() && spool.state().depth() == 0;
        if theirs.is_some() && self.spool.as_ref().is_none_or(is_empty) {
            return Ok(0);
        }
        let (answer, answered) = oneshot::channel();
        let late = || StoreError::Unavailable("events are on their way to the database".to_owned());
        if self.queue.try_send(Job::Settle(Settle { theirs, answer })).is_err() {
            return Err(late());
        }
        match tokio::time::timeout(ANSWER_LIMIT, answered).await {
            Ok(Ok(settled)) => settled,
            _ => Err(late()),
        }
    }

    /// The events in the spool that are `theirs`.
    pub async fn spooled(&self, theirs: Theirs) -> Result<Vec<Event>, StoreError> {
        let Some(spool) = &self.spool else { return Ok(Vec::new()) };
        let found = spool.find(&*theirs).await?;
        Ok(found.into_iter().map(|spooled| spooled.event).collect())
    }

    /// Whether events can be written to the store, as far as the task knows.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Whether events can be put into the spool.
    #[must_use]
    pub fn can_spool(&self) -> bool {
        self.spool.as_ref().is_some_and(|spool| spool.works())
    }

    /// A look at the spool at the time `now`, where there is one.
    #[must_use]
    pub fn spool(&self, now: DateTime<Utc>) -> Option<SpoolReading> {
        self.spool.as_ref().map(|spool| reading(spool, now))
    }
}

/// The spool that the settings ask for: SQLite is as local as it would be.
fn spool(config: &Config) -> Option<Spool> {
    let folder = config.spool_dir.get().filter(|_| matches!(config.database_url, Database::Postgres(_)))?;
    Some(Spool::new(&folder.0, config.spool_max_mb.get()))
}

fn reading(spool: &Spool, now: DateTime<Utc>) -> SpoolReading {
    let state = spool.state();
    SpoolReading {
        events: state.depth(),
        refused: state.refused(),
        oldest_seconds: state.oldest().map(|oldest| (now - oldest).as_seconds_f64().max(0.0)),
        replayed: state.replayed(),
    }
}
