//! The ingest task.

use std::collections::HashSet;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::{IngestError, Job, Ticket, Tracked};
use crate::clock::Clock;
use crate::config::Config;
use crate::event::Event;
use crate::metrics::{Metrics, Totals};
use crate::rollup::Rollup;
use crate::store::{Store, StoreError, Written};

/// The most events of one transaction.
const MAX_BATCH: usize = 1_024;

/// How long a batch may take with all its attempts.
const BATCH_LIMIT: Duration = Duration::from_millis(1_800);

/// An event that waited longer than this is refused, so that its answer does not come too late.
const QUEUE_LIMIT: Duration = Duration::from_secs(1);

/// How long foreign rows are counted before the service says that it is ready.
const FIRST_COUNT_LIMIT: Duration = Duration::from_secs(5);

/// The pause between attempts to reach a store that is away.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// How often a batch is tried again when another replica was in the way.
const MAX_CONFLICTS: u32 = 10;

/// The state of the ingest task.
pub(super) struct Worker {
    store: Store,
    metrics: Metrics,
    clock: Clock,
    max_businesses: usize,
    refresh_every: Duration,
    ready: Arc<AtomicBool>,
    first: Option<oneshot::Sender<Result<(), StoreError>>>,
    migrated: bool,
    /// Whether foreign rows are left to be counted, and who waits for it.
    counting: bool,
    refreshing: Vec<oneshot::Sender<bool>>,
    /// What was last told of why the store is away.
    trouble: String,
}

/// What became of one event of a batch.
type Answer = Result<Tracked, IngestError>;

/// The store went away.
struct Gone(StoreError);

impl Worker {
    pub(super) fn new(
        config: &Config,
        store: Store,
        metrics: Metrics,
        clock: Clock,
        ready: Arc<AtomicBool>,
        first: oneshot::Sender<Result<(), StoreError>>,
    ) -> Self {
        Self {
            store,
            metrics,
            clock,
            max_businesses: config.metrics_max_businesses.get() as usize,
            refresh_every: Duration::from_secs(config.metrics_refresh_seconds.get().into()),
            ready,
            first: Some(first),
            migrated: false,
            counting: true,
            refreshing: Vec::new(),
            trouble: String::new(),
        }
    }

    /// Serves `jobs` until `stop`, then what is left of them.
    pub(super) async fn run(mut self, mut jobs: mpsc::Receiver<Job>, stop: CancellationToken) {
        while self.wait_for_store(&mut jobs, &stop).await {
            self.ready.store(true, Ordering::Relaxed);
            let Err(Gone(error)) = self.serve(&mut jobs, &stop).await else { break };
            self.ready.store(false, Ordering::Relaxed);
            self.refreshing.clear();
            self.trouble = error.to_string();
            tracing::error!("the store went away: {error}; events are refused until it is back");
        }
        self.ready.store(false, Ordering::Relaxed);
        self.store.close().await;
    }

    /// Refuses jobs until the store is there; says whether it is, rather than that the process stops.
    async fn wait_for_store(&mut self, jobs: &mut mpsc::Receiver<Job>, stop: &CancellationToken) -> bool {
        loop {
            let prepared = {
                let mut prepare = pin!(self.prepare());
                loop {
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => break None,
                        prepared = &mut prepare => break Some(prepared),
                        Some(job) = jobs.recv() => job.refuse(),
                    }
                }
            };
            match prepared {
                None => break,
                Some(Ok(())) => {
                    tracing::info!("the store is ready: {}", self.store.place());
                    self.trouble.clear();
                    self.tell_first(Ok(()));
                    return true;
                }
                Some(Err(error)) => self.tell_unavailable(error),
            }
            if refuse_for(RETRY_PAUSE, jobs, stop).await.is_none() {
                break;
            }
        }
        jobs.close();
        while let Some(job) = jobs.recv().await {
            job.refuse();
        }
        false
    }

    /// Tells what keeps the store away: first whoever waits for the start, then the log, whenever it changes.
    fn tell_unavailable(&mut self, error: StoreError) {
        let trouble = error.to_string();
        let is_fatal = self.first.is_some() && matches!(error, StoreError::Unusable(_));
        if trouble != self.trouble && !is_fatal {
            tracing::error!("the store is not available: {trouble}; trying again");
        }
        self.trouble = trouble;
        self.tell_first(Err(error));
    }

    fn tell_first(&mut self, prepared: Result<(), StoreError>) {
        if let Some(first) = self.first.take() {
            // Nobody waits any more when the start took longer than its patience.
            let _ = first.send(prepared);
        }
    }

    /// Brings the tables up to date, counts rows that are there already, and reads the totals.
    async fn prepare(&mut self) -> Result<(), StoreError> {
        if !self.migrated {
            self.store.migrate().await?;
            self.migrated = true;
            let begun = Instant::now();
            while self.counting && begun.elapsed() < FIRST_COUNT_LIMIT {
                self.count_foreign_rows().await?;
            }
        }
        self.read_totals().await
    }

    /// Serves jobs until the process stops and none is left, or until the store goes away.
    async fn serve(&mut self, jobs: &mut mpsc::Receiver<Job>, stop: &CancellationToken) -> Result<(), Gone> {
        let mut refresh = interval(self.refresh_every);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        refresh.reset();
        let mut waiting = Vec::with_capacity(MAX_BATCH);
        let mut stopping = false;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    jobs.close();
                }
                _ = refresh.tick() => self.read_totals().await.map_err(Gone)?,
                taken = jobs.recv_many(&mut waiting, MAX_BATCH) => match taken {
                    0 => return Ok(()),
                    _ => self.serve_all(waiting.drain(..)).await?,
                },
                () = std::future::ready(()), if self.counting => {}
            }
            if self.counting {
                self.refresh().await.map_err(Gone)?;
            }
        }
    }

    /// Serves jobs: events together, up to one that repeats the id of another. Readings anew are noted, and done once
    /// for all of them.
    async fn serve_all(&mut self, jobs: impl Iterator<Item = Job>) -> Result<(), Gone> {
        let mut batch = Batch::default();
        for job in jobs {
            match job {
                Job::Track(ticket) => {
                    if batch.ids.contains(&ticket.event.id) {
                        self.write(std::mem::take(&mut batch)).await?;
                    }
                    batch.push(*ticket);
                }
                Job::Refresh(answer) => {
                    self.counting = true;
                    self.refreshing.push(answer);
                }
            }
        }
        self.write(batch).await
    }

    /// Counts some foreign rows. When none is left, reads the totals and tells everybody who waits for that.
    async fn refresh(&mut self) -> Result<(), StoreError> {
        self.count_foreign_rows().await?;
        if !self.counting {
            self.read_totals().await?;
            for answer in self.refreshing.drain(..) {
                let _ = answer.send(true);
            }
        }
        Ok(())
    }

    async fn count_foreign_rows(&mut self) -> Result<(), StoreError> {
        match self.store.count_foreign_rows(self.clock.now()).await {
            Ok(more) => self.counting = more,
            // Another replica counts them at this moment; the next attempt sees what it left.
            Err(StoreError::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn read_totals(&mut self) -> Result<(), StoreError> {
        let mut totals = Totals::new(self.max_businesses);
        for row in self.store.totals().await? {
            totals.add(&row.key, &row.sums);
        }
        self.metrics.replace_totals(totals);
        Ok(())
    }

    /// Writes a batch and answers its requests.
    async fn write(&mut self, batch: Batch) -> Result<(), Gone> {
        let Batch { events, answers, .. } = batch;
        if events.is_empty() {
            return Ok(());
        }
        let mut attempt = Attempt::new(events.len());
        let gone = attempt.run(&self.store, &events).await;
        self.add_to_totals(&events, &attempt.written);
        for ((answer, written), event) in answers.into_iter().zip(&attempt.written).zip(&events) {
            // A caller that hung up does not hear that its event is kept.
            let _ = answer.send(written.answer(event));
        }
        if let Some(error) = gone {
            return Err(Gone(error));
        }
        if attempt.unsure {
            self.read_totals().await.map_err(Gone)?;
        }
        Ok(())
    }

    fn add_to_totals(&self, events: &[Event], written: &[Fate]) {
        let counted = events.iter().zip(written).filter(|(_, fate)| **fate == Fate::Kept(Written::Counted));
        let rollup = Rollup::of(counted.map(|(event, _)| event), chrono_tz::UTC);
        self.metrics.update_totals(|totals| {
            rollup.totals().into_iter().for_each(|(key, sums)| totals.add(key, &sums));
        });
    }
}

/// Refuses jobs for a while; `None` when the process stops.
async fn refuse_for(pause: Duration, jobs: &mut mpsc::Receiver<Job>, stop: &CancellationToken) -> Option<()> {
    let mut pause = pin!(sleep(pause));
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            () = &mut pause => return Some(()),
            Some(job) = jobs.recv() => job.refuse(),
        }
    }
}

impl Job {
    fn refuse(self) {
        match self {
            Self::Track(ticket) => {
                let _ = ticket.answer.send(Err(IngestError::Unavailable));
            }
            Self::Refresh(answer) => {
                let _ = answer.send(false);
            }
        }
    }
}

/// Events that are written together. Their ids differ.
#[derive(Default)]
struct Batch {
    ids: HashSet<uuid::Uuid>,
    events: Vec<Event>,
    answers: Vec<oneshot::Sender<Answer>>,
}

impl Batch {
    fn push(&mut self, ticket: Ticket) {
        if ticket.queued.elapsed() > QUEUE_LIMIT {
            let _ = ticket.answer.send(Err(IngestError::QueueFull));
            return;
        }
        self.ids.insert(ticket.event.id);
        self.events.push(ticket.event);
        self.answers.push(ticket.answer);
    }
}

/// What is known of an event while its batch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Unwritten,
    Kept(Written),
    Refused { unknown_business: bool },
}

impl Fate {
    fn answer(self, event: &Event) -> Answer {
        match self {
            // An id that the service made is new; it is found in the store only where a first attempt to write it
            // came through although its answer was lost.
            Self::Kept(Written::Duplicate) => Ok(Tracked { duplicate: event.named }),
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
    written: Vec<Fate>,
    conflicts: u32,
    /// Whether a connection broke before it told what became of its events.
    unsure: bool,
}

impl Attempt {
    fn new(events: usize) -> Self {
        Self {
            deadline: Instant::now() + BATCH_LIMIT,
            written: vec![Fate::Unwritten; events],
            conflicts: 0,
            unsure: false,
        }
    }

    /// Writes `events`, in parts where it must; gives the error if the store went away.
    async fn run(&mut self, store: &Store, events: &[Event]) -> Option<StoreError> {
        let mut parts = store.runs(events);
        parts.reverse();
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

    fn note(&mut self, part: &Range<usize>, written: &[Written]) {
        for (fate, written) in self.written[part.clone()].iter_mut().zip(written) {
            *fate = Fate::Kept(*written);
        }
    }

    fn split(&mut self, part: Range<usize>, error: &StoreError, parts: &mut Vec<Range<usize>>) {
        if part.len() == 1 {
            tracing::warn!("an event is refused: {error}");
            let unknown_business = matches!(error, StoreError::UnknownBusiness);
            self.written[part.start] = Fate::Refused { unknown_business };
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
        first && Instant::now() < self.deadline
    }
}
