//! Digests stored events, beside the batches that follow, builds facts from events that are older than the tables of facts, and reads the
//! app's book.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::log_on_change::LogOnChange;
use crate::metrics::Metrics;
use crate::store::{Rebuild, Store, StoreError};

/// The least time from one digest to the next: answers of a conversation that come meanwhile are digested together.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a scrape waits for what was stored before it to be digested.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(1);

/// How often it is looked for what another process left, and for totals that it counted.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// Reading the book takes at most one part of this many of the time.
const BOOK_SHARE: u32 = 20;

/// The number of older events that are added in one step.
const REBUILD_STEP: i64 = 5_000;

/// How often the progress of a rebuild is logged.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// The task that digests.
#[derive(Debug, Default)]
pub(super) struct DigestTask {
    migrated: Notify,
    due: Notify,
    /// Whether something was stored that metrics do not tell of yet.
    is_behind: AtomicBool,
    /// Held while metrics are brought up to date.
    showing: AsyncMutex<()>,
    /// How far the rebuild under way is; `None` if there is none.
    rebuild: Mutex<Option<Rebuild>>,
}

impl DigestTask {
    /// Has the task begin: the tables exist.
    pub(super) fn begin(&self) {
        self.migrated.notify_one();
    }

    /// Returns how far the rebuild under way is; `None` if there is none.
    pub(super) fn rebuild(&self) -> Option<Rebuild> {
        *self.rebuild.lock()
    }

    /// Has events that were just stored be digested.
    pub(super) fn notify(&self) {
        self.is_behind.store(true, Ordering::Relaxed);
        self.due.notify_one();
    }

    /// Has metrics tell of everything that was stored before, unless that takes too long.
    pub(super) async fn catch_up(&self, store: &Store, metrics: &Metrics) {
        let shown = timeout(CATCH_UP_LIMIT, self.show(store, metrics, false)).await;
        // The task tries again, and logs why it cannot.
        self.is_behind.fetch_or(shown.is_err(), Ordering::Relaxed);
    }

    /// Digests events and shows what is counted over all time; if `always` is not set, only if something was stored since that was done last.
    pub(super) async fn show(
        &self,
        store: &Store,
        metrics: &Metrics,
        always: bool,
    ) -> Result<(), StoreError> {
        // Whoever comes while another digest is under way waits for it.
        let _one_at_a_time = self.showing.lock().await;
        if !self.is_behind.swap(false, Ordering::Relaxed) && !always {
            return Ok(());
        }
        let shown = digest(store, metrics).await;
        if shown.is_err() {
            self.is_behind.store(true, Ordering::Relaxed);
        }
        shown
    }

    /// Digests events when they are due, builds facts from older events, and reads the app's book `every` so often, until `stop`.
    pub(super) async fn run(
        self: Arc<Self>,
        store: Store,
        metrics: Metrics,
        (clock, every): (Clock, Duration),
        stop: CancellationToken,
    ) {
        let work = async {
            self.migrated.notified().await;
            tokio::join!(
                self.digest(&store, &metrics),
                self.build_older(&store),
                read_book(&store, &clock, every)
            );
        };
        stop.run_until_cancelled(Box::pin(work)).await;
    }

    async fn digest(&self, store: &Store, metrics: &Metrics) {
        let mut log = LogOnChange::new("events are digested again");
        loop {
            let begun = Instant::now();
            let digested = self.show(store, metrics, true).await;
            log.update(digested.err().map(|error| format!("cannot digest events: {error}")));
            // Most of the time is left to others, however long it takes.
            sleep(PAUSE.max(begun.elapsed() * 2)).await;
            // What other processes left is digested all the same.
            drop(timeout(LOOK_EVERY, self.due.notified()).await);
        }
    }

    /// Builds facts from older events until all are added.
    async fn build_older(&self, store: &Store) {
        let mut log = LogOnChange::new("facts are built from older events again");
        let mut progress = Progress::default();
        loop {
            let begun = Instant::now();
            let step = rebuild_some(store).await;
            if let Ok(state) = &step {
                *self.rebuild.lock() = state.filter(|state| !state.is_done());
            }
            match &step {
                Ok(Some(state)) => progress.log(state),
                Ok(None) => return,
                Err(_) => {}
            }
            let failed = step.is_err();
            log.update(step.err().map(|error| format!("cannot build facts from older events: {error}")));
            // Half of the time is left to others.
            sleep(if failed { LOOK_EVERY } else { begun.elapsed() }).await;
        }
    }
}

/// Reads the app's book `every` so often, and less often if that takes long.
async fn read_book(store: &Store, clock: &Clock, every: Duration) {
    let mut log = LogOnChange::new("the app's appointments are read again");
    loop {
        let begun = Instant::now();
        let read = store.read_book(clock.now()).await;
        let more = matches!(read, Ok(true));
        log.update(read.err().map(|error| format!("cannot read the app's appointments: {error}")));
        sleep(if more { begun.elapsed() } else { every.max(begun.elapsed() * BOOK_SHARE) }).await;
    }
}

async fn digest(store: &Store, metrics: &Metrics) -> Result<(), StoreError> {
    store.digest_all().await?;
    metrics.show_facts(store.fact_totals().await?);
    Ok(())
}

/// Adds some older events. Returns how far it is then; `None` if all were added before.
async fn rebuild_some(store: &Store) -> Result<Option<Rebuild>, StoreError> {
    match store.rebuild().await? {
        done if done.is_done() => Ok(None),
        _ => store.rebuild_some(REBUILD_STEP).await.map(Some),
    }
}

/// What of a rebuild was logged.
#[derive(Default)]
struct Progress {
    logged: Option<Instant>,
}

impl Progress {
    fn log(&mut self, state: &Rebuild) {
        let is_due = self.logged.is_none_or(|logged| logged.elapsed() >= PROGRESS_EVERY);
        if state.is_done() {
            tracing::info!("facts about conversations are built from all older events");
        } else if is_due {
            self.logged = Some(Instant::now());
            tracing::info!(
                left = state.left(),
                of = state.of_rows,
                "facts about conversations are being built from older events"
            );
        }
    }
}
