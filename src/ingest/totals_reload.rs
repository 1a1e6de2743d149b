//! Reloads the totals while batches continue; what these count in the meantime is added to the loaded totals.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::MutexGuard;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::replay;
use super::sink::{MAX_SHOWING, Sink, add_spooled};
use crate::metrics::Totals;
use crate::rollup::{Key, Rollup, Sums};
use crate::store::StoreError;

/// A reload in progress, if any, which returns the totals of the store as of its start, without those of the
/// spool.
pub(super) type TotalsReload = JoinSet<Result<Totals, StoreError>>;

/// What was counted since the reload began; `None` if there is none.
pub(super) type CountedSince = Option<BTreeMap<Key, Sums>>;

/// Waits for the reload in progress. Returns `None` if there is none.
pub(super) async fn end(reload: &mut TotalsReload) -> Option<Result<Totals, StoreError>> {
    Some(reload.join_next().await?.expect("a reload neither panics nor is aborted"))
}

impl Sink {
    /// Begins to load the totals of the store. No write may be in progress until this returns, and only
    /// [`Sink::add_stored`] may count events until the totals are shown.
    ///
    /// # Errors
    ///
    /// `TimedOut` if the reload does not begin within `limit`.
    pub(super) async fn begin_reload(
        self: &Arc<Self>,
        reload: &mut TotalsReload,
        limit: Duration,
    ) -> Result<(), StoreError> {
        self.open_spool().await;
        if let Some(spool) = &self.spool {
            replay::resolve(self, spool).await?;
        }
        let (begun, has_begun) = oneshot::channel();
        let sink = self.clone();
        reload.spawn(async move { sink.load_totals(begun).await });
        // If the load fails before it begins, the reload returns the error.
        if timeout(limit, has_begun).await.is_err() {
            *reload = TotalsReload::new();
            return Err(StoreError::TimedOut);
        }
        *self.since() = Some(BTreeMap::new());
        Ok(())
    }

    async fn load_totals(&self, begun: oneshot::Sender<()>) -> Result<Totals, StoreError> {
        let begun = |newest| {
            self.rollup_merge.record_newest(newest);
            // The receiver is only dropped together with the reload.
            let _ = begun.send(());
        };
        let mut sums = BTreeMap::new();
        let counted = self.rollup_merge.counted();
        self.store.totals(&counted, begun, |key, more| add(&mut sums, key, more)).await?;
        let mut totals = Totals::new(self.max_businesses);
        totals.show_stored(self.store.series().await?);
        self.show_new(&mut totals, sums.keys()).await?;
        for (key, sums) in &sums {
            totals.add(key, sums);
        }
        self.show_requests().await;
        self.show_facts().await;
        Ok(totals)
    }

    /// Shows loaded totals, plus what was counted since and the totals of the spool.
    pub(super) async fn show_totals(&self, mut totals: Totals) -> Result<(), StoreError> {
        let since = self.since().take().unwrap_or_default();
        self.show_new(&mut totals, since.keys()).await?;
        for (key, sums) in &since {
            totals.add(key, sums);
        }
        if let Some(spool) = &self.spool {
            add_spooled(&mut totals, spool.state().totals().iter());
        }
        self.metrics.replace_totals(totals);
        self.warn_of_full_labels();
        Ok(())
    }

    /// Makes `totals` show new series for `keys`, as far as there is room.
    async fn show_new<'k>(
        &self,
        totals: &mut Totals,
        keys: impl Iterator<Item = &'k Key> + Clone,
    ) -> Result<(), StoreError> {
        for _ in 0..MAX_SHOWING {
            let new = totals.new_series(&keys);
            if new.is_empty() {
                break;
            }
            totals.show_stored(self.show_series(&new).await?);
        }
        Ok(())
    }

    /// Adds a counted rollup to the totals shown, and to the ones being loaded.
    pub(super) fn add_counted(&self, rollup: &Rollup) {
        let counted = rollup.totals();
        self.metrics.update_totals(|totals| {
            for (key, sums) in &counted {
                totals.add(key, sums);
            }
        });
        if let Some(since) = &mut *self.since() {
            for (key, sums) in &counted {
                add(since, key, sums);
            }
        }
    }

    fn since(&self) -> MutexGuard<'_, CountedSince> {
        self.since.lock()
    }
}

fn add(to: &mut BTreeMap<Key, Sums>, key: &Key, more: &Sums) {
    match to.get_mut(key) {
        Some(sums) => sums.add(more),
        None => drop(to.insert(key.clone(), more.clone())),
    }
}
