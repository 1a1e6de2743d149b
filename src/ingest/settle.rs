//! Settles rollups that batches left pending, beside the batches that follow.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::store::{Counted, Store, StoreError};

/// How long pending rollups are left to gather: the more there are, the fewer rows they come to each.
const GATHER: Duration = Duration::from_secs(1);

/// Keys that are settled together, in one transaction, which keeps their rows locked.
const MAX_KEYS: usize = 1_000;

/// Batches whose rollups are settled together where nobody knows their sums, unless that takes too long.
const TOGETHER: i64 = 64;

/// What is to be settled.
#[derive(Debug, Default)]
pub(super) struct Settling {
    due: Notify,
    /// What this process has counted and not settled yet, the oldest first.
    counted: Mutex<Vec<Arc<Counted>>>,
    /// The newest row that there was when it was last looked.
    newest: AtomicI64,
    /// Rows up to this one are left: of processes that ended, or of attempts that failed.
    left: AtomicI64,
}

impl Settling {
    /// Has what was counted settled soon.
    pub(super) fn add(&self, more: Counted) {
        let mut counted = self.lock();
        // What is being settled, or read, stays as it is.
        let last = counted.last_mut().and_then(Arc::get_mut);
        match last.filter(|last| last.rollup.daily.len() < MAX_KEYS) {
            Some(last) => last.add(more),
            None => counted.push(Arc::new(more)),
        }
        drop(counted);
        self.due.notify_one();
    }

    /// Notes the newest row that is pending. Whoever counted the rows up to the one before has had the time to settle them:
    /// what is left of them is settled soon.
    pub(super) fn look(&self, newest: i64) {
        let left = self.newest.swap(newest, Ordering::Relaxed);
        if left > 0 {
            self.left.store(left, Ordering::Relaxed);
            self.due.notify_one();
        }
    }

    /// What this process has counted that may be pending.
    pub(super) fn counted(&self) -> Vec<Arc<Counted>> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Counted>>> {
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

    /// Settles what this process has counted. What fails is left.
    async fn settle_counted(&self, store: &Store) -> Result<(), StoreError> {
        let all = self.counted();
        let settled = settle_each(store, &all).await;
        self.lock().drain(..all.len());
        settled
    }

    /// Settles what is left, in smaller steps where one takes too long.
    async fn settle_left(&self, store: &Store) -> Result<(), StoreError> {
        let left = self.left.swap(0, Ordering::Relaxed);
        let (mut together, mut more) = (TOGETHER, left > 0);
        while more {
            let begun = Instant::now();
            more = match store.settle_left(left, together).await {
                Err(StoreError::TimedOut) if together > 1 => {
                    together = (together / 4).max(1);
                    true
                }
                settled => settled?,
            };
            sleep(begun.elapsed()).await;
        }
        Ok(())
    }
}

async fn settle_each(store: &Store, all: &[Arc<Counted>]) -> Result<(), StoreError> {
    for counted in all {
        store.settle(counted).await?;
    }
    Ok(())
}

/// Tells of an error when it is another than last time.
fn tell(settled: Result<(), StoreError>, trouble: &mut String) {
    let now = settled.map_or_else(|error| error.to_string(), |()| String::new());
    if !now.is_empty() && *trouble != now {
        tracing::warn!("pending rollups stay pending: {now}");
    }
    *trouble = now;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_left_to_whoever_counted_them_until_the_next_look() {
        let settling = Settling::default();
        let left = || settling.left.swap(0, Ordering::Relaxed);
        settling.look(7);
        assert_eq!(left(), 0);
        settling.look(9);
        assert_eq!(left(), 7);
        settling.look(9);
        assert_eq!(left(), 9);
        settling.look(0);
        settling.look(0);
        assert_eq!(left(), 9, "what was left is not forgotten because nothing is any more");
    }
}
