//! The ingest task: its main loop, and waiting for a store that is unavailable.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::batch::MAX_BATCH;
use super::handle::{Command, DrainRequest, TrackRequest};
use super::maintenance::Maintenance;
use super::replay;
use super::sink::Sink;
use super::spill::spill_until;
use super::writer::{StoreLost, Writer};
use crate::config::Config;
use crate::spool::Delivery;
use crate::store::StoreError;

/// The pause between attempts to reach a store that is unavailable.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// The state of the ingest task.
pub(super) struct Worker {
    sink: Arc<Sink>,
    store_timeout: Duration,
    refresh_every: Duration,
    ready: Arc<AtomicBool>,
    /// Receives the result of the first attempt to prepare the store.
    first: Option<oneshot::Sender<Result<(), StoreError>>>,
    migrated: bool,
    maintenance: Maintenance,
    /// The number of track requests received.
    requests: usize,
    /// Drain requests, each with the number of track requests that must be completed first.
    drains: Vec<(usize, DrainRequest)>,
    /// Why the store is unavailable; empty while it is available.
    failure: String,
}

impl Worker {
    pub(super) fn new(
        config: &Config,
        sink: Sink,
        ready: Arc<AtomicBool>,
        first: oneshot::Sender<Result<(), StoreError>>,
    ) -> Self {
        Self {
            sink: Arc::new(sink),
            store_timeout: config.store_timeout.0,
            refresh_every: Duration::from_secs(config.metrics_refresh_seconds.get().into()),
            ready,
            first: Some(first),
            migrated: false,
            maintenance: Maintenance::new(),
            requests: 0,
            drains: Vec::new(),
            failure: String::new(),
        }
    }

    /// Serves `commands` until `stop`, and then those that remain.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>, stop: CancellationToken) {
        self.sink.open_spool().await;
        while self.wait_for_store(&mut commands, &stop).await {
            self.ready.store(true, Ordering::Relaxed);
            let Err(StoreLost(error)) = self.serve(&mut commands, &stop).await else { break };
            self.ready.store(false, Ordering::Relaxed);
            self.maintenance.abort();
            self.drains.clear();
            self.log_failure(error.to_string());
        }
        self.ready.store(false, Ordering::Relaxed);
        if let Some(spool) = &self.sink.spool {
            spool.close().await;
        }
        self.sink.store.close().await;
    }

    /// Spills events until the store is available. Returns `false` if the process stops first.
    async fn wait_for_store(
        &mut self,
        commands: &mut mpsc::Receiver<Command>,
        stop: &CancellationToken,
    ) -> bool {
        if !self.failure.is_empty()
            && spill_until(&self.sink, commands, stop, sleep(RETRY_PAUSE)).await.is_none()
        {
            return false;
        }
        loop {
            let prepare = async {
                let is_other = self.sink.store.reopen_replaced_file().await?;
                let is_migrated = self.migrated && !is_other;
                let counting = match is_migrated {
                    // They may have changed while the store was away.
                    true => self.sink.store.load_profiles().await.map(|()| None)?,
                    false => Some(self.sink.migrate().await?),
                };
                self.sink.prepare().await.map(|()| counting)
            };
            match spill_until(&self.sink, commands, stop, prepare).await {
                None => return false,
                Some(Ok(counting)) => {
                    self.migrated = true;
                    self.maintenance.is_counting = counting.unwrap_or(self.maintenance.is_counting);
                    tracing::info!("the database is ready: {}", self.sink.store.place());
                    self.failure.clear();
                    self.report_first(Ok(()));
                    return true;
                }
                Some(Err(error)) => self.report_failure(error),
            }
            if spill_until(&self.sink, commands, stop, sleep(RETRY_PAUSE)).await.is_none() {
                return false;
            }
        }
    }

    /// Reports why the store is unavailable, to the start-up code and in the log. An error that makes the
    /// start fail is printed there, so it is not logged as well.
    fn report_failure(&mut self, error: StoreError) {
        let is_fatal = self.first.is_some() && matches!(error, StoreError::Unusable(_));
        if !is_fatal {
            self.log_failure(error.to_string());
        }
        self.report_first(Err(error));
    }

    /// Logs why the store is unavailable, unless that was logged last.
    fn log_failure(&mut self, failure: String) {
        if failure != self.failure {
            let events = match self.sink.spool {
                Some(_) => "events go into the spool",
                None => "events are refused",
            };
            tracing::error!("the database is unavailable: {failure}; {events} until it is back");
        }
        self.failure = failure;
    }

    fn report_first(&mut self, prepared: Result<(), StoreError>) {
        if let Some(first) = self.first.take() {
            // The start-up code may have stopped waiting.
            let _ = first.send(prepared);
        }
    }

    /// Serves commands until the process stops and none remain, or until the store becomes unavailable.
    async fn serve(
        &mut self,
        commands: &mut mpsc::Receiver<Command>,
        stop: &CancellationToken,
    ) -> Result<(), StoreLost> {
        let sink = self.sink.clone();
        let mut writer = Writer::new(&sink, self.store_timeout);
        let served = self.serve_with(&mut writer, commands, stop).await;
        if served.is_err() {
            writer.spill_rest().await;
        }
        served
    }

    async fn serve_with(
        &mut self,
        writer: &mut Writer<'_>,
        commands: &mut mpsc::Receiver<Command>,
        stop: &CancellationToken,
    ) -> Result<(), StoreLost> {
        let mut tick = interval(self.refresh_every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.reset();
        let mut taken = Vec::with_capacity(MAX_BATCH);
        let (mut open, mut stopping) = (true, false);
        loop {
            if writer.writes.is_empty() && !self.maintenance.is_reloading() {
                self.run_between_writes(writer.queue.len()).await.map_err(StoreLost)?;
            }
            writer.spill_late().await;
            writer.begin(self.max_writes());
            if writer.writes.is_empty() && !open {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    commands.close();
                }
                _ = tick.tick() => self.maintenance.is_due = true,
                Some(written) = writer.writes.next() => {
                    self.maintenance.is_due |= written? || self.maintenance.is_counting;
                }
                Some(totals) = self.maintenance.reload_ended() => {
                    self.maintenance.finish_reload(&self.sink, totals).await.map_err(StoreLost)?;
                }
                received = commands.recv_many(&mut taken, MAX_BATCH), if open => {
                    open = received > 0;
                    writer.queue.extend(taken.drain(..).filter_map(|command| self.accept(command)));
                }
                () = ready(()), if self.may_replay(writer) && !stopping => {}
                () = ready(()), if self.maintenance.is_counting && !self.maintenance.is_due => {
                    self.maintenance.is_due = true;
                }
            }
        }
    }

    /// Returns how many batches may be written at the same time: only one if something waits for a moment
    /// without writes.
    fn max_writes(&self) -> usize {
        let is_due = self.maintenance.is_due || self.is_replaying() || !self.drains.is_empty();
        match is_due && !self.maintenance.is_reloading() {
            true => 1,
            false => self.sink.store.writers(),
        }
    }

    fn may_replay(&self, writer: &Writer<'_>) -> bool {
        writer.writes.is_empty() && !self.maintenance.is_reloading() && self.is_replaying()
    }

    /// Does what must not run concurrently with writes: replays a part of the spool, replies to drain
    /// requests, and runs maintenance. Maintenance comes last: events replayed during a reload of the totals
    /// would be in neither. `queued` is the number of requests in the queue.
    async fn run_between_writes(&mut self, queued: usize) -> Result<(), StoreError> {
        if let Some(spool) = self.sink.spool.as_ref().filter(|spool| spool.has_pending()) {
            replay::step(&self.sink, spool, Delivery::Unsent).await?;
        }
        self.reply_to_drains(queued).await;
        if self.maintenance.is_due {
            self.maintenance.run(&self.sink).await?;
        }
        Ok(())
    }

    /// Replies to the drain requests for which all earlier events are in the store. `queued` is the number of
    /// requests in the queue.
    async fn reply_to_drains(&mut self, queued: usize) {
        let done = self.requests - queued;
        while !self.is_replaying()
            && let Some((_, DrainRequest { discard, reply })) =
                self.drains.pop_if(|(requests, _)| *requests <= done)
        {
            // The caller may have stopped waiting, and will retry.
            drop(reply.send(self.sink.discard(discard.as_deref()).await));
        }
    }

    /// Returns whether the spool has events to replay.
    fn is_replaying(&self) -> bool {
        self.sink.spool.as_ref().is_some_and(|spool| spool.has_pending())
    }

    /// Returns the request of a track command; schedules the work of other commands.
    fn accept(&mut self, command: Command) -> Option<TrackRequest> {
        match command {
            Command::Track(request) => {
                self.requests += 1;
                Some(request)
            }
            Command::Drain(request) => {
                self.drains.push((self.requests, request));
                None
            }
            Command::Refresh(reply) => {
                self.maintenance.request_refresh(reply);
                None
            }
        }
    }
}
