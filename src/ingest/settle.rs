//! Settles rollups that batches left pending, beside the batches that follow.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::store::{Counted, Store, StoreError};

/// How long pending rollups are left to gather: the more there are, the fewer rows they come to each.
const GATHER: Duration = Duration::from_secs(1);

/// Keys that are settled together. More would keep a core of the database busy for longer than events should have to wait.
const MAX_KEYS: usize = 1_000;

/// Batches whose rollups are settled together where nobody knows their sums, unless that takes too long.
const TOGETHER: i64 = 64;

/// What is to be settled.
#[derive(Debug, Default)]
pub(super) struct Settling {
    due: Notify,
    /// What this process has counted.
    counted: Mutex<Vec<Counted>>,
    /// Whether other rows may be left: of other processes, or of attempts that failed.
    left: AtomicBool,
}

impl Settling {
    /// Has what was counted settled soon.
    pub(super) fn add(&self, more: Counted) {
        let mut counted = self.lock();
        match counted.last_mut().filter(|last| last.rollup.daily.len() < MAX_KEYS) {
            Some(last) => last.add(more),
            None => counted.push(more),
        }
        drop(counted);
        self.due.notify_one();
    }

    /// Has whatever is pending settled soon, whoever counted it.
    pub(super) fn add_left(&self) {
        self.left.store(true, Ordering::Relaxed);
        self.due.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Counted>> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Settles whatever is due, until `stop`.
    pub(super) async fn run(self: Arc<Self>, store: Store, stop: CancellationToken) {
        let mut trouble = String::new();
        let settle = async {
            loop {
                self.due.notified().await;
                sleep(GATHER).await;
                let settled = match self.settle_counted(&store).await {
                    Ok(()) => self.settle_left(&store).await,
                    failed => failed,
                };
                tell(settled, &mut trouble);
            }
        };
        stop.run_until_cancelled(settle).await;
    }

    /// Settles what this process has counted. What fails is left for the next time.
    async fn settle_counted(&self, store: &Store) -> Result<(), StoreError> {
        let all = mem::take(&mut *self.lock());
        for counted in all {
            let begun = Instant::now();
            let settled = store.settle(&counted).await;
            if !matches!(settled, Ok(true)) {
                self.left.store(true, Ordering::Relaxed);
            }
            settled?;
            // Half of the time belongs to others.
            sleep(begun.elapsed()).await;
        }
        Ok(())
    }

    /// Settles what is left, in smaller steps where one takes too long.
    async fn settle_left(&self, store: &Store) -> Result<(), StoreError> {
        let (mut together, mut more) = (TOGETHER, self.left.swap(false, Ordering::Relaxed));
        while more {
            let begun = Instant::now();
            more = match store.settle_left(together).await {
                Err(StoreError::TimedOut) if together > 1 => {
                    together = (together / 4).max(1);
                    true
                }
                settled => settled.inspect_err(|_| self.left.store(true, Ordering::Relaxed))?,
            };
            sleep(begun.elapsed()).await;
        }
        Ok(())
    }
}

/// Tells of an error when it is another than last time.
fn tell(settled: Result<(), StoreError>, trouble: &mut String) {
    let now = settled.map_or_else(|error| error.to_string(), |()| String::new());
    if !now.is_empty() && *trouble != now {
        tracing::warn!("pending rollups stay pending: {now}");
    }
    *trouble = now;
}
