//! The ingest task.

use std::future::ready;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::aside::put_by_until;
use super::line::{Gone, Line};
use super::reading::{self, Reading};
use super::upkeep::Upkeep;
use super::waiting::MAX_TOGETHER;
use super::{Job, Settle, Ticket, replay};
use crate::config::Config;
use crate::metrics::Totals;
use crate::store::{Standing, StoreError};

/// The pause between attempts to reach a store that is away.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// How long events wait for a reading of the totals to begin, which leaves time to put them by.
const BEGIN_LIMIT: Duration = Duration::from_millis(500);

/// The state of the ingest task.
pub(super) struct Worker {
    upkeep: Arc<Upkeep>,
    store_timeout: Duration,
    refresh_every: Duration,
    ready: Arc<AtomicBool>,
    first: Option<oneshot::Sender<Result<(), StoreError>>>,
    migrated: bool,
    /// Whether foreign rows are left to be counted, and who waits for it.
    counting: bool,
    refreshing: Vec<oneshot::Sender<bool>>,
    /// The totals that are being read, and who waits for them.
    reading: Reading,
    reading_for: Vec<oneshot::Sender<bool>>,
    /// How many tickets came, and who waits until so many of them are done.
    tickets: usize,
    settling: Vec<(usize, Settle)>,
    /// Whether to read the totals, or go on counting, before the next batch.
    upkeep_due: bool,
    /// What was last told of why the store is away.
    trouble: String,
}

impl Worker {
    pub(super) fn new(
        config: &Config,
        upkeep: Upkeep,
        ready: Arc<AtomicBool>,
        first: oneshot::Sender<Result<(), StoreError>>,
    ) -> Self {
        Self {
            upkeep: Arc::new(upkeep),
            store_timeout: config.store_timeout.0,
            refresh_every: Duration::from_secs(config.metrics_refresh_seconds.get().into()),
            ready,
            first: Some(first),
            migrated: false,
            counting: true,
            refreshing: Vec::new(),
            reading: Reading::new(),
            reading_for: Vec::new(),
            tickets: 0,
            settling: Vec::new(),
            upkeep_due: false,
            trouble: String::new(),
        }
    }

    /// Serves `jobs` until `stop`, then what is left of them.
    pub(super) async fn run(mut self, mut jobs: mpsc::Receiver<Job>, stop: CancellationToken) {
        self.upkeep.open_spool().await;
        while self.wait_for_store(&mut jobs, &stop).await {
            self.ready.store(true, Ordering::Relaxed);
            let Err(Gone(error)) = self.serve(&mut jobs, &stop).await else { break };
            self.ready.store(false, Ordering::Relaxed);
            self.refreshing.clear();
            self.reading = Reading::new();
            self.reading_for.clear();
            self.settling.clear();
            self.trouble = error.to_string();
            tracing::error!("the store went away: {error}; {} until it is back", self.without_store());
        }
        self.ready.store(false, Ordering::Relaxed);
        if let Some(spool) = &self.upkeep.spool {
            spool.close().await;
        }
        self.upkeep.store.close().await;
    }

    fn without_store(&self) -> &'static str {
        match self.upkeep.spool {
            Some(_) => "events go into the spool",
            None => "events are refused",
        }
    }

    /// Does without the store until it is there; says whether it is, rather than that the process stops.
    async fn wait_for_store(&mut self, jobs: &mut mpsc::Receiver<Job>, stop: &CancellationToken) -> bool {
        if !self.trouble.is_empty()
            && put_by_until(&self.upkeep, jobs, stop, sleep(RETRY_PAUSE)).await.is_none()
        {
            return false;
        }
        loop {
            let prepare = async {
                let counting = if self.migrated { None } else { Some(self.upkeep.migrate().await?) };
                self.upkeep.prepare().await.map(|()| counting)
            };
            match put_by_until(&self.upkeep, jobs, stop, prepare).await {
                None => return false,
                Some(Ok(counting)) => {
                    self.migrated = true;
                    self.counting = counting.unwrap_or(self.counting);
                    tracing::info!("the store is ready: {}", self.upkeep.store.place());
                    self.trouble.clear();
                    self.tell_first(Ok(()));
                    return true;
                }
                Some(Err(error)) => self.tell_unavailable(error),
            }
            if put_by_until(&self.upkeep, jobs, stop, sleep(RETRY_PAUSE)).await.is_none() {
                return false;
            }
        }
    }

    /// Tells what keeps the store away: first whoever waits for the start, then the log, whenever it changes.
    fn tell_unavailable(&mut self, error: StoreError) {
        let trouble = error.to_string();
        let is_fatal = self.first.is_some() && matches!(error, StoreError::Unusable(_));
        if trouble != self.trouble && !is_fatal {
            tracing::error!("the store is not available: {trouble}; trying again, {}", self.without_store());
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

    /// Serves jobs until the process stops and none is left, or until the store goes away.
    async fn serve(&mut self, jobs: &mut mpsc::Receiver<Job>, stop: &CancellationToken) -> Result<(), Gone> {
        let upkeep = self.upkeep.clone();
        let mut line = Line::new(&upkeep, self.store_timeout);
        let served = self.serve_line(&mut line, jobs, stop).await;
        if served.is_err() {
            line.put_by().await;
        }
        served
    }

    async fn serve_line(
        &mut self,
        line: &mut Line<'_>,
        jobs: &mut mpsc::Receiver<Job>,
        stop: &CancellationToken,
    ) -> Result<(), Gone> {
        let mut tick = interval(self.refresh_every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.reset();
        let mut taken = Vec::with_capacity(MAX_TOGETHER);
        let (mut open, mut stopping) = (true, false);
        loop {
            if line.writes.is_empty() && self.reading.is_empty() {
                self.do_between(line.waiting.len()).await.map_err(Gone)?;
            }
            line.put_late_by().await;
            line.begin(self.most_writes());
            if line.writes.is_empty() && !open {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    jobs.close();
                }
                _ = tick.tick() => self.upkeep_due = true,
                Some(written) = line.writes.next() => self.upkeep_due |= written? || self.counting,
                Some(totals) = reading::end(&mut self.reading) => self.end_reading(totals).await.map_err(Gone)?,
                jobs_taken = jobs.recv_many(&mut taken, MAX_TOGETHER), if open => {
                    open = jobs_taken > 0;
                    line.waiting.extend(taken.drain(..).filter_map(|job| self.note(job)));
                }
                () = ready(()), if self.may_replay(line) && !stopping => {}
                () = ready(()), if self.counting && !self.upkeep_due => self.upkeep_due = true,
            }
        }
    }

    /// How many groups may be written at the same time: one where something waits for a moment when none is.
    fn most_writes(&self) -> usize {
        let is_due = self.upkeep_due || self.is_replaying() || !self.settling.is_empty();
        match is_due && self.reading.is_empty() {
            true => 1,
            false => self.upkeep.store.writers(),
        }
    }

    fn may_replay(&self, line: &Line<'_>) -> bool {
        line.writes.is_empty() && self.reading.is_empty() && self.is_replaying()
    }

    /// Does what is due and no write may be beside, while so many tickets are `waiting`: a part of what is in the spool,
    /// answers to those who wait for others, upkeep. Upkeep is the last: what went from the spool into the store beside a
    /// reading of the totals would be in neither.
    async fn do_between(&mut self, waiting: usize) -> Result<(), StoreError> {
        if let Some(spool) = self.upkeep.spool.as_ref().filter(|spool| spool.has_pending()) {
            replay::step(&self.upkeep.store, spool, Standing::Unsent).await?;
        }
        self.settle(waiting).await;
        if self.upkeep_due {
            self.keep_up().await?;
        }
        Ok(())
    }

    /// Answers those for whom everything is in the store that came before them, while so many tickets are `waiting`.
    async fn settle(&mut self, waiting: usize) {
        let done = self.tickets - waiting;
        while !self.is_replaying()
            && let Some((_, Settle { theirs, answer })) =
                self.settling.pop_if(|(tickets, _)| *tickets <= done)
        {
            // Who does not wait any more asks again.
            drop(answer.send(self.upkeep.forget(theirs.as_deref()).await));
        }
    }

    /// Whether events of the spool are on their way to the store.
    fn is_replaying(&self) -> bool {
        self.upkeep.spool.as_ref().is_some_and(|spool| spool.has_pending())
    }

    /// Gives the events of a job that brings some, and notes what else is asked for.
    fn note(&mut self, job: Job) -> Option<Ticket> {
        match job {
            Job::Track(ticket) => {
                self.tickets += 1;
                Some(ticket)
            }
            Job::Settle(settle) => {
                self.settling.push((self.tickets, settle));
                None
            }
            Job::Refresh(answer) => {
                self.counting = true;
                self.upkeep_due = true;
                self.refreshing.push(answer);
                None
            }
        }
    }

    /// Counts foreign rows or begins to read the totals.
    async fn keep_up(&mut self) -> Result<(), StoreError> {
        self.upkeep_due = false;
        if self.counting {
            self.counting = match self.upkeep.count_foreign_rows().await {
                // Odd rows of another program are no reason to refuse events.
                Err(error) if error.is_refusal() || matches!(error, StoreError::Unreadable(_)) => {
                    tracing::error!("rows that another program inserted cannot be counted: {error}");
                    self.refreshing.clear();
                    false
                }
                counted => counted?,
            };
        }
        if self.counting {
            return Ok(());
        }
        self.reading_for = mem::take(&mut self.refreshing);
        if unread(self.upkeep.begin_reading(&mut self.reading, BEGIN_LIMIT).await)?.is_none() {
            self.reading_for.clear();
        }
        Ok(())
    }

    async fn end_reading(&mut self, totals: Result<Totals, StoreError>) -> Result<(), StoreError> {
        let answers = mem::take(&mut self.reading_for);
        let Some(totals) = unread(totals)? else { return Ok(()) };
        self.upkeep.show_totals(totals).await?;
        for answer in answers {
            let _ = answer.send(true);
        }
        Ok(())
    }
}

/// A store that is too busy to read the totals keeps what it has: the next reading comes.
fn unread<T>(read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Err(error @ StoreError::TimedOut) => {
            tracing::warn!("the totals cannot be read, those of before are shown: {error}");
            Ok(None)
        }
        read => read.map(Some),
    }
}
