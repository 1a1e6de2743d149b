//! The ingest task.

use std::collections::VecDeque;
use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::batch::{Batch, MAX_BATCH, Written};
use super::{IngestError, Job, Ticket};
use crate::clock::Clock;
use crate::config::Config;
use crate::metrics::{Metrics, Totals};
use crate::rollup::{Key, Sums};
use crate::store::{Store, StoreError};

/// How long foreign rows are counted before the service says that it is ready.
const FIRST_COUNT_LIMIT: Duration = Duration::from_secs(5);

/// The pause between attempts to reach a store that is away.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

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
    /// Whether to read the totals, or go on counting, before the next batch.
    upkeep_due: bool,
    /// What was last told of why the store is away.
    trouble: String,
}

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
            upkeep_due: false,
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
            if refuse_for(RETRY_PAUSE, &mut jobs, &stop).await.is_none() {
                break;
            }
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
        let mut tick = interval(self.refresh_every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.reset();
        let mut waiting = VecDeque::new();
        let mut taken = Vec::with_capacity(MAX_BATCH);
        let (mut open, mut stopping) = (true, false);
        loop {
            if self.upkeep_due {
                self.keep_up().await.map_err(Gone)?;
            }
            if !waiting.is_empty() {
                let batch = Batch::of(&mut waiting, &self.store);
                self.land(batch.write(&self.store).await)?;
            } else if !open {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    jobs.close();
                }
                _ = tick.tick() => self.upkeep_due = true,
                jobs_taken = jobs.recv_many(&mut taken, MAX_BATCH), if open => {
                    open = jobs_taken > 0;
                    waiting.extend(taken.drain(..).filter_map(|job| self.note(job)));
                }
                () = ready(()), if !waiting.is_empty() || !open => {}
                () = ready(()), if self.counting => self.upkeep_due = true,
            }
        }
    }

    /// Gives the event of a job that brings one, and notes what else is asked for.
    fn note(&mut self, job: Job) -> Option<Ticket> {
        match job {
            Job::Track(ticket) => Some(*ticket),
            Job::Refresh(answer) => {
                self.counting = true;
                self.upkeep_due = true;
                self.refreshing.push(answer);
                None
            }
        }
    }

    /// Adds a batch that was written to the totals, and answers its requests.
    fn land(&mut self, mut written: Written) -> Result<(), Gone> {
        self.metrics.update_totals(|totals| {
            for event in written.counted() {
                totals.add(&Key::of(event), &Sums::of(event));
            }
        });
        self.upkeep_due |= written.unsure || self.counting;
        let gone = written.gone.take();
        written.answer();
        gone.map_or(Ok(()), |error| Err(Gone(error)))
    }

    /// Counts foreign rows or reads the totals.
    async fn keep_up(&mut self) -> Result<(), StoreError> {
        self.upkeep_due = false;
        if self.counting { self.refresh().await } else { self.read_totals().await }
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
            // Odd rows of another program are no reason to refuse events.
            Err(error) if error.is_refusal() || matches!(error, StoreError::Unreadable(_)) => {
                tracing::error!("rows that another program inserted cannot be counted: {error}");
                self.counting = false;
                self.refreshing.clear();
            }
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
