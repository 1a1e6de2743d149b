//! The ingest task.

use std::collections::VecDeque;
use std::future::ready;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::batch::Attempt;
use super::upkeep::Upkeep;
use super::waiting::{Fate, Group, MAX_TOGETHER};
use super::{IngestError, Job, Kept, Settle, Ticket, Tracked, replay};
use crate::config::Config;
use crate::event::Event;
use crate::store::{Standing, StoreError};

/// The pause between attempts to reach a store that is away.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// The state of the ingest task.
pub(super) struct Worker {
    upkeep: Upkeep,
    store_timeout: Duration,
    refresh_every: Duration,
    ready: Arc<AtomicBool>,
    first: Option<oneshot::Sender<Result<(), StoreError>>>,
    migrated: bool,
    /// Whether foreign rows are left to be counted, and who waits for it.
    counting: bool,
    refreshing: Vec<oneshot::Sender<bool>>,
    /// How many tickets came, and who waits until so many of them are done.
    tickets: usize,
    settling: Vec<(usize, Settle)>,
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
        upkeep: Upkeep,
        ready: Arc<AtomicBool>,
        first: oneshot::Sender<Result<(), StoreError>>,
    ) -> Self {
        Self {
            upkeep,
            store_timeout: config.store_timeout.0,
            refresh_every: Duration::from_secs(config.metrics_refresh_seconds.get().into()),
            ready,
            first: Some(first),
            migrated: false,
            counting: true,
            refreshing: Vec::new(),
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

    const fn without_store(&self) -> &'static str {
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
        let mut tick = interval(self.refresh_every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.reset();
        let mut waiting = VecDeque::new();
        let mut taken = Vec::with_capacity(MAX_TOGETHER);
        let (mut open, mut stopping) = (true, false);
        loop {
            if let Err(gone) = self.do_due(&mut waiting).await {
                put_by(&self.upkeep, Group::take(&mut waiting), Standing::Unsent).await;
                return Err(gone);
            }
            if waiting.is_empty() && !open {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    jobs.close();
                }
                _ = tick.tick() => self.upkeep_due = true,
                jobs_taken = jobs.recv_many(&mut taken, MAX_TOGETHER), if open => {
                    open = jobs_taken > 0;
                    waiting.extend(taken.drain(..).filter_map(|job| self.note(job)));
                }
                () = ready(()), if !waiting.is_empty() || !open || (self.is_replaying() && !stopping) => {}
                () = ready(()), if self.counting => self.upkeep_due = true,
            }
        }
    }

    /// Does what is due: upkeep, one batch of what waits, a part of what is in the spool.
    async fn do_due(&mut self, waiting: &mut VecDeque<Ticket>) -> Result<(), Gone> {
        if self.upkeep_due {
            self.keep_up().await.map_err(Gone)?;
        }
        // What waited for half of its time would come too late if the store took as long as it may.
        let late = Group::take_late(waiting, self.store_timeout / 2);
        if !late.is_empty() {
            put_by(&self.upkeep, late, Standing::Unsent).await;
        }
        // A file has one writer at a time.
        let [group, beside] = match self.upkeep.store.is_file() {
            true => [Group::take(waiting), Group::default()],
            false => Group::take_two(waiting),
        };
        let (due, due_beside) = tokio::join!(self.write(group), self.write(beside));
        self.upkeep_due |= due? | due_beside?;
        if let Some(spool) = self.upkeep.spool.as_ref().filter(|spool| spool.has_pending()) {
            replay::step(&self.upkeep.store, spool, Standing::Unsent).await.map(drop).map_err(Gone)?;
        }
        self.settle(waiting.len()).await;
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

    /// Writes events, and answers who waits for them; says whether upkeep is due.
    async fn write(&self, mut group: Group) -> Result<bool, Gone> {
        if group.is_empty() {
            return Ok(false);
        }
        self.upkeep.find_spooled(&mut group).await;
        let limit = self.store_timeout.saturating_sub(group.oldest().elapsed());
        let Group { events, fates, .. } = &mut group;
        let attempt = Attempt::run(&self.upkeep.store, events, fates, false, limit).await;
        let shown = self.upkeep.count_stored(attempt.counted).await;
        let due = attempt.broke || self.counting || shown.is_err();
        match group.unkept().is_empty() {
            true => group.answer(IngestError::Unavailable),
            false => put_by(&self.upkeep, group, Standing::Unsure).await,
        }
        attempt.gone.map_or(Ok(due), |error| Err(Gone(error)))
    }

    /// Counts foreign rows or reads the totals.
    async fn keep_up(&mut self) -> Result<(), StoreError> {
        self.upkeep_due = false;
        if !self.counting {
            return self.read_totals().await;
        }
        self.counting = match self.upkeep.count_foreign_rows().await {
            // Odd rows of another program are no reason to refuse events.
            Err(error) if error.is_refusal() || matches!(error, StoreError::Unreadable(_)) => {
                tracing::error!("rows that another program inserted cannot be counted: {error}");
                self.refreshing.clear();
                false
            }
            counted => counted?,
        };
        if !self.counting {
            self.read_totals().await?;
            for answer in mem::take(&mut self.refreshing) {
                let _ = answer.send(true);
            }
        }
        Ok(())
    }

    /// Reads the totals. A store that is too busy for it keeps what it has: the next reading comes.
    async fn read_totals(&mut self) -> Result<(), StoreError> {
        match self.upkeep.read_totals().await {
            Err(error @ StoreError::TimedOut) => {
                tracing::warn!("the totals cannot be read, those of before are shown: {error}");
                self.refreshing.clear();
                Ok(())
            }
            read => read,
        }
    }
}

/// Does without the store while `done` is waited for; `None` when the process stops, and then nothing waits any more.
/// Both go on at the same time: one may hold the spool's file while the other waits for it.
async fn put_by_until<T>(
    upkeep: &Upkeep,
    jobs: &mut mpsc::Receiver<Job>,
    stop: &CancellationToken,
    done: impl Future<Output = T>,
) -> Option<T> {
    let over = CancellationToken::new();
    let done = Box::pin(async {
        let done = stop.run_until_cancelled(done).await;
        over.cancel();
        done
    });
    let (done, ()) = tokio::join!(done, put_jobs_by(upkeep, jobs, &over));
    if done.is_none() {
        jobs.close();
        put_jobs_by(upkeep, jobs, &CancellationToken::new()).await;
    }
    done
}

/// Puts the events of jobs by until `over`, or until no more can come.
async fn put_jobs_by(upkeep: &Upkeep, jobs: &mut mpsc::Receiver<Job>, over: &CancellationToken) {
    let mut taken = Vec::new();
    while let Some(1..) = over.run_until_cancelled(jobs.recv_many(&mut taken, MAX_TOGETHER)).await {
        put_by_each(upkeep, taken.drain(..)).await;
    }
}

/// Puts the events of jobs by, and refuses what needs the store.
async fn put_by_each(upkeep: &Upkeep, jobs: impl Iterator<Item = Job>) {
    let mut waiting = VecDeque::new();
    for job in jobs {
        match job {
            Job::Track(ticket) => waiting.push_back(ticket),
            Job::Refresh(answer) => drop(answer.send(false)),
            Job::Settle(settle) => drop(settle),
        }
    }
    while !waiting.is_empty() {
        put_by(upkeep, Group::take(&mut waiting), Standing::Unsent).await;
    }
}

/// Puts those of a group's events into the spool that nobody has, and answers who waits for them.
async fn put_by(upkeep: &Upkeep, mut group: Group, standing: Standing) {
    let unkept = group.unkept();
    let events: Vec<&Event> = unkept.iter().map(|place| &group.events[*place]).collect();
    if let Some(added) = upkeep.put_by(&events, standing).await {
        for (place, added) in unkept.into_iter().zip(added) {
            group.fates[place] = Fate::Kept(Tracked { duplicate: !added, kept: Kept::Spooled });
        }
    }
    group.answer(IngestError::Unavailable);
}
