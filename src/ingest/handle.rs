//! The handle of the ingest task, for request handlers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, oneshot};

use super::digest::DigestTask;
use super::late_withdrawals::LateWithdrawals;
use super::profile_refresh;
use super::rollup_merge::RollupMerge;
use super::sink::Sink;
use super::worker::Worker;
use crate::clock::Clock;
use crate::config::{Config, Database};
use crate::event::Event;
use crate::fair_share::{FairShare, Share, Tenant};
use crate::lifecycle::Lifecycle;
use crate::metrics::{Metrics, SpoolStats};
use crate::spool::Spool;
use crate::store::{Rebuild, Store, StoreError};

/// How long a request waits for the ingest task, whose own time limits are shorter.
const REPLY_TIMEOUT: Duration = Duration::from_millis(2_900);

/// Refreshes that may be queued at the same time.
const MAX_REFRESHES: usize = 16;

/// The result of an event that was stored, or at least counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tracked {
    /// Whether its id was known before, so that nothing was counted.
    pub duplicate: bool,
    /// Where the event ended up.
    pub destination: Destination,
}

/// Where an event ends up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// In the store.
    Store,
    /// In the spool, to be replayed to the store.
    Spool,
    /// Nowhere: it is counted and its id is recorded, but its customer has not consented to more.
    CountedOnly,
}

/// Why an event is neither stored nor counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// The queue is full.
    #[error("the event queue is full")]
    QueueFull,
    /// Neither the store nor the spool can accept it at the moment.
    #[error("neither the database nor the spool can be written to")]
    Unavailable,
    /// The database requires a business that does not exist.
    #[error("unknown business")]
    UnknownBusiness,
    /// A database constraint rejected it.
    #[error("a database constraint rejected the event")]
    Refused,
}

/// The result of tracking an event.
pub type TrackResult = Result<Tracked, IngestError>;

/// Selects events, such as those of one person.
pub type EventFilter = Arc<dyn Fn(&Event) -> bool + Send + Sync>;

/// The handle of the ingest task.
#[derive(Debug, Clone)]
pub struct Ingest {
    queue: mpsc::Sender<Command>,
    /// The places of the queue, one for each event.
    places: FairShare,
    queue_size: usize,
    ready: Arc<AtomicBool>,
    spool: Option<Arc<Spool>>,
    metrics: Metrics,
    digest: Arc<DigestTask>,
}

/// A command to the ingest task.
#[derive(Debug)]
pub(super) enum Command {
    Track(TrackRequest),
    Refresh(oneshot::Sender<bool>),
    Drain(DrainRequest),
}

/// Events of one request, which are written together.
#[derive(Debug)]
pub(super) struct TrackRequest {
    pub(super) events: Vec<Event>,
    pub(super) queued_at: Instant,
    /// Returned when the events leave the queue.
    pub(super) places: Share,
    pub(super) reply: oneshot::Sender<Vec<TrackResult>>,
}

/// A request to wait until everything queued before it is in the store.
pub(super) struct DrainRequest {
    /// Selects events in the spool to discard, of those that the store refused.
    pub(super) discard: Option<EventFilter>,
    pub(super) reply: oneshot::Sender<Result<u64, StoreError>>,
}

impl fmt::Debug for DrainRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DrainRequest")
    }
}

impl Ingest {
    /// Starts the task, which first migrates the tables and loads the totals. The receiver gets the result of
    /// the first attempt; after a failure the task keeps retrying.
    #[must_use]
    pub fn start(
        config: &Config,
        store: Store,
        metrics: Metrics,
        clock: Clock,
        lifecycle: &Lifecycle,
    ) -> (Self, oneshot::Receiver<Result<(), StoreError>>) {
        let queue_size = config.ingest_queue_size.get() as usize;
        let (queue, commands) = mpsc::channel(queue_size + MAX_REFRESHES);
        let ready = Arc::new(AtomicBool::new(false));
        let (first, prepared) = oneshot::channel();
        let rollup_merge = Arc::<RollupMerge>::default();
        lifecycle.spawn("rollups", rollup_merge.clone().run(store.clone(), lifecycle.ending().clone()));
        let digest = Arc::<DigestTask>::default();
        let every = Duration::from_secs(config.metrics_refresh_seconds.get().into());
        let rounds = (clock.clone(), every);
        let task = digest.clone().run(store.clone(), metrics.clone(), rounds, lifecycle.ending().clone());
        lifecycle.spawn("digest", task);
        let profiles = profile_refresh::run(store.clone(), every, lifecycle.ending().clone());
        lifecycle.spawn("profiles", profiles);
        if config.consent_required {
            let task = LateWithdrawals::default().run(
                store.clone(),
                clock.clone(),
                every,
                lifecycle.ending().clone(),
            );
            lifecycle.spawn("withdrawals", task);
        }
        let spool = spool(config).map(Arc::new);
        if let Some(spool) = spool.clone() {
            let clock = clock.clone();
            metrics.show_spool(move || stats(&spool, clock.now()));
        }
        let sink =
            Sink::new(config, store, metrics.clone(), clock, spool.clone(), (rollup_merge, digest.clone()));
        let worker = Worker::new(config, sink, ready.clone(), first);
        lifecycle.spawn("ingest", worker.run(commands, lifecycle.ending().clone()));
        (
            Self { queue, places: FairShare::new(queue_size), queue_size, ready, spool, metrics, digest },
            prepared,
        )
    }

    /// Tracks `event`, reported by `tenant`. Returns `Ok` only once it is committed, to the store or to the spool.
    pub async fn track(&self, event: Event, tenant: Tenant) -> TrackResult {
        let results = self.track_all(vec![event], tenant).await?;
        results.into_iter().next().unwrap_or(Err(IngestError::Unavailable))
    }

    /// Tracks `events`, reported by `tenant`, together. Returns the result of each, in their order.
    pub async fn track_all(
        &self,
        mut events: Vec<Event>,
        tenant: Tenant,
    ) -> Result<Vec<TrackResult>, IngestError> {
        let redacted: Vec<u64> = events.iter_mut().map(Event::redact_labels).collect();
        // A request with more events than the queue size is accepted if the queue is empty.
        let places = self.places.take(tenant, events.len().min(self.queue_size));
        let places = places.ok_or(IngestError::QueueFull)?;
        let (reply, replied) = oneshot::channel();
        let request = TrackRequest { events, queued_at: Instant::now(), places, reply };
        if self.queue.try_send(Command::Track(request)).is_err() {
            return Err(IngestError::Unavailable);
        }
        match tokio::time::timeout(REPLY_TIMEOUT, replied).await {
            Ok(Ok(results)) => {
                let counted = results.iter().zip(redacted);
                let counted = counted.filter(|(result, _)| result.is_ok_and(|tracked| !tracked.duplicate));
                self.metrics.count_redacted(counted.map(|(_, labels)| labels).sum());
                Ok(results)
            }
            _ => Err(IngestError::Unavailable),
        }
    }

    /// Counts the rows that other programs inserted and reloads the totals from the store. Returns whether it
    /// could.
    pub async fn refresh(&self) -> bool {
        let (reply, replied) = oneshot::channel();
        if self.queue.try_send(Command::Refresh(reply)).is_err() {
            return false;
        }
        matches!(tokio::time::timeout(REPLY_TIMEOUT, replied).await, Ok(Ok(true)))
    }

    /// Waits until all earlier events are in the store, including those of the spool. Spooled events that the
    /// store refused and `discard` selects are counted without a row and removed from the spool. Returns
    /// their number.
    pub async fn drain(&self, discard: Option<EventFilter>) -> Result<u64, StoreError> {
        let is_empty = |spool: &Arc<Spool>| spool.is_writable() && spool.state().depth() == 0;
        if discard.is_some() && self.spool.as_ref().is_none_or(is_empty) {
            return Ok(0);
        }
        let (reply, replied) = oneshot::channel();
        let late = || StoreError::Unavailable("events are still being written to the database".to_owned());
        if self.queue.try_send(Command::Drain(DrainRequest { discard, reply })).is_err() {
            return Err(late());
        }
        match tokio::time::timeout(REPLY_TIMEOUT, replied).await {
            Ok(Ok(drained)) => drained,
            _ => Err(late()),
        }
    }

    /// Returns the events in the spool that `filter` selects.
    pub async fn spooled(&self, filter: EventFilter) -> Result<Vec<Event>, StoreError> {
        let Some(spool) = &self.spool else { return Ok(Vec::new()) };
        let found = spool.find(&*filter).await?;
        Ok(found.into_iter().map(|spooled| spooled.event).collect())
    }

    /// Returns how far facts are built from older events; `None` if that is not under way.
    #[must_use]
    pub fn rebuild(&self) -> Option<Rebuild> {
        self.digest.rebuild()
    }

    /// Has metrics tell of everything that was stored before, unless that takes long.
    pub async fn catch_up(&self, store: &Store) {
        self.digest.catch_up(store, &self.metrics).await;
    }

    /// Has metrics soon tell of outcomes that were just stored.
    pub fn notify_digest(&self) {
        self.digest.notify();
    }

    /// Returns whether events can be written to the store, as far as the task knows.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Returns whether events can be spooled.
    #[must_use]
    pub fn can_spool(&self) -> bool {
        self.spool.as_ref().is_some_and(|spool| spool.is_writable())
    }

    /// Returns the statistics of the spool as of `now`; `None` without a spool.
    #[must_use]
    pub fn spool(&self, now: DateTime<Utc>) -> Option<SpoolStats> {
        self.spool.as_ref().map(|spool| stats(spool, now))
    }
}

/// Creates the spool that the settings define. With SQLite there is none: it would be as local as the
/// database.
fn spool(config: &Config) -> Option<Spool> {
    let folder = config.spool_dir.get().filter(|_| matches!(config.database_url, Database::Postgres(_)))?;
    Some(Spool::new(&folder.0, config.spool_max_mb.get()))
}

fn stats(spool: &Spool, now: DateTime<Utc>) -> SpoolStats {
    let state = spool.state();
    SpoolStats {
        events: state.depth(),
        refused: state.refused(),
        oldest_seconds: state.oldest().map(|oldest| (now - oldest).as_seconds_f64().max(0.0)),
        replayed: state.replayed(),
    }
}
