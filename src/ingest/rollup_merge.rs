//! Merges pending rollups into the rollup tables, concurrently with the batches that follow.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::log_on_change::LogOnChange;
use crate::store::{CountedRollup, Store, StoreError};

/// How long pending rollups accumulate before a merge: the more there are, the fewer rows each costs.
const ACCUMULATE: Duration = Duration::from_secs(1);

/// The maximum number of keys merged in one transaction, which locks their rows.
const MAX_KEYS: usize = 1_000;

/// The number of leftover batches merged in one transaction, unless that takes too long.
const LEFTOVER_BATCHES: i64 = 64;

/// The rollups that have not been merged yet.
#[derive(Debug, Default)]
pub(super) struct RollupMerge {
    due: Notify,
    /// Rollups that this process has counted but not merged yet, the oldest first.
    counted: Mutex<Vec<Arc<CountedRollup>>>,
    /// The newest pending row at the last check.
    newest: AtomicI64,
    /// Rows up to this one are leftovers of processes that ended or of failed attempts.
    leftovers: AtomicI64,
}

impl RollupMerge {
    /// Schedules a rollup to be merged.
    pub(super) fn add(&self, more: CountedRollup) {
        let mut counted = self.lock();
        // A rollup that is being merged or read must not change.
        let last = counted.last_mut().and_then(Arc::get_mut);
        match last.filter(|last| last.rollup.daily.len() < MAX_KEYS) {
            Some(last) => last.add(more),
            None => counted.push(Arc::new(more)),
        }
        drop(counted);
        self.due.notify_one();
    }

    /// Records the newest pending row. The processes that counted the rows up to the one recorded before have
    /// had the time to merge them, so those that remain are leftovers.
    pub(super) fn record_newest(&self, newest: i64) {
        let leftovers = self.newest.swap(newest, Ordering::Relaxed);
        if leftovers > 0 {
            self.leftovers.store(leftovers, Ordering::Relaxed);
            self.due.notify_one();
        }
    }

    /// Returns the rollups that this process has counted and that may be pending.
    pub(super) fn counted(&self) -> Vec<Arc<CountedRollup>> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<CountedRollup>>> {
        self.counted.lock()
    }

    /// Merges pending rollups when they are due, until `stop`.
    pub(super) async fn run(self: Arc<Self>, store: Store, stop: CancellationToken) {
        let mut log = LogOnChange::new("pending rollups are merged again");
        let merge = async {
            loop {
                self.due.notified().await;
                sleep(ACCUMULATE).await;
                let merged = match self.merge_counted(&store).await {
                    Ok(()) => self.merge_leftovers(&store).await,
                    failed => failed,
                };
                log.update(merged.err().map(|error| format!("cannot merge pending rollups: {error}")));
            }
        };
        stop.run_until_cancelled(merge).await;
    }

    /// Merges the rollups that this process has counted. Those that fail become leftovers.
    async fn merge_counted(&self, store: &Store) -> Result<(), StoreError> {
        let all = self.counted();
        let merged = merge_each(store, &all).await;
        self.lock().drain(..all.len());
        merged
    }

    /// Merges leftovers, in smaller steps if one takes too long.
    async fn merge_leftovers(&self, store: &Store) -> Result<(), StoreError> {
        let newest = self.leftovers.swap(0, Ordering::Relaxed);
        let (mut batches, mut more) = (LEFTOVER_BATCHES, newest > 0);
        while more {
            let begun = Instant::now();
            more = match store.merge_leftover_rollups(newest, batches).await {
                Err(StoreError::TimedOut) if batches > 1 => {
                    batches = (batches / 4).max(1);
                    true
                }
                merged => merged?,
            };
            sleep(begun.elapsed()).await;
        }
        Ok(())
    }
}

async fn merge_each(store: &Store, all: &[Arc<CountedRollup>]) -> Result<(), StoreError> {
    for counted in all {
        store.merge_rollup(counted).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_leftovers_only_after_the_next_check() {
        let merge = RollupMerge::default();
        let leftovers = || merge.leftovers.swap(0, Ordering::Relaxed);
        merge.record_newest(7);
        assert_eq!(leftovers(), 0);
        merge.record_newest(9);
        assert_eq!(leftovers(), 7);
        merge.record_newest(9);
        assert_eq!(leftovers(), 9);
        merge.record_newest(0);
        merge.record_newest(0);
        assert_eq!(leftovers(), 9, "leftovers stay even if nothing is pending any more");
    }
}
