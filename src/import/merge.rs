//! Merges the pending rollups of an import, many at a time: each sum is then updated once for all of them.

use crate::store::{CountedRollup, Store, StoreError};

/// The number of sums from which a merge is due.
const MANY: usize = 4_000;

/// The same of response times.
const MANY_LATENCIES: usize = 20_000;

/// The number of batches that are merged together if another process has merged some of them.
const LEFTOVERS: i64 = 16;

/// The rollups that are not merged yet.
#[derive(Debug, Default)]
pub(super) struct Unmerged(CountedRollup);

impl Unmerged {
    pub(super) fn add(&mut self, counted: CountedRollup) {
        // SQLite has nothing to merge.
        if !counted.pending.is_empty() {
            self.0.add(counted);
        }
    }

    /// Whether a merge is due.
    pub(super) fn is_due(&self) -> bool {
        self.0.rollup.daily.len() >= MANY || self.0.rollup.latency.len() >= MANY_LATENCIES
    }

    /// Whether it is so large that nothing should be added before a merge.
    pub(super) fn is_full(&self) -> bool {
        self.0.rollup.daily.len() >= 4 * MANY || self.0.rollup.latency.len() >= 4 * MANY_LATENCIES
    }

    /// Takes all of it; `None` if there is nothing.
    pub(super) fn take(&mut self) -> Option<CountedRollup> {
        let taken = std::mem::take(&mut self.0);
        (!taken.pending.is_empty()).then_some(taken)
    }
}

/// Merges rollups. What fails is left to the service, which merges what others leave.
pub(super) async fn merge(store: &Store, counted: CountedRollup) -> Result<(), StoreError> {
    match store.merge_rollup(&counted).await {
        Ok(true) | Err(StoreError::TimedOut | StoreError::Conflict(_)) => Ok(()),
        Ok(false) => {
            let newest = counted.pending.iter().copied().max().unwrap_or_default();
            while store.merge_leftover_rollups(newest, LEFTOVERS).await? {}
            Ok(())
        }
        Err(error) => Err(error),
    }
}
