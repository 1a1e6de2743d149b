//! Reading the totals beside the batches that go on: what these count meanwhile is added to what is read.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::replay;
use super::upkeep::{Upkeep, add_spooled};
use crate::metrics::{Label, Totals};
use crate::rollup::{Key, Rollup, Sums};
use crate::store::StoreError;

/// Totals that are being read, as they were when that began, without those of the spool; none or one.
pub(super) type Reading = JoinSet<Result<Totals, StoreError>>;

/// What was counted since the totals were as they are being read; `None` where they are not.
pub(super) type Since = Option<BTreeMap<Key, Sums>>;

/// What came of a reading; `None` where there is none.
pub(super) async fn end(reading: &mut Reading) -> Option<Result<Totals, StoreError>> {
    Some(reading.join_next().await?.expect("a reading neither panics nor is given up"))
}

impl Upkeep {
    /// Begins to read the totals of the store. Nothing else may be on its way into it before this is done, nor may
    /// anything be counted but by [`Upkeep::count_stored`] until the totals are shown. A store that does not begin within
    /// `limit` is not read.
    pub(super) async fn begin_reading(
        self: &Arc<Self>,
        reading: &mut Reading,
        limit: Duration,
    ) -> Result<(), StoreError> {
        self.open_spool().await;
        if let Some(spool) = &self.spool {
            replay::resolve(&self.store, spool).await?;
        }
        let (begun, has_begun) = oneshot::channel();
        let upkeep = self.clone();
        reading.spawn(async move { upkeep.read_totals(begun).await });
        // Where it fails before, the reading itself tells why.
        if timeout(limit, has_begun).await.is_err() {
            *reading = Reading::new();
            return Err(StoreError::TimedOut);
        }
        *self.since() = Some(BTreeMap::new());
        Ok(())
    }

    async fn read_totals(&self, begun: oneshot::Sender<()>) -> Result<Totals, StoreError> {
        let begun = |newest| {
            self.settling.look(newest);
            // Who does not wait any more drops the reading too.
            let _ = begun.send(());
        };
        let mut sums = BTreeMap::new();
        let counted = self.settling.counted();
        self.store.totals(&counted, begun, |key, more| add(&mut sums, key, more)).await?;
        let mut totals = Totals::new(self.max_businesses);
        for label in Label::ALL {
            totals.show(label, self.store.label_values(label.name(), totals.max_values(label)).await?);
            self.show_new(&mut totals, label, sums.keys()).await?;
        }
        for (key, sums) in &sums {
            totals.add(key, sums);
        }
        self.show_requests().await;
        Ok(totals)
    }

    /// Shows totals that were read, with what was counted since, and with those of the spool.
    pub(super) async fn show_totals(&self, mut totals: Totals) -> Result<(), StoreError> {
        let since = self.since().take().unwrap_or_default();
        for label in Label::ALL {
            self.show_new(&mut totals, label, since.keys()).await?;
        }
        for (key, sums) in &since {
            totals.add(key, sums);
        }
        if let Some(spool) = &self.spool {
            add_spooled(&mut totals, spool.state().totals().iter());
        }
        self.metrics.replace_totals(totals);
        self.tell_folding();
        Ok(())
    }

    /// Has `totals` show new values of `label` among `keys`, as far as there is room.
    async fn show_new<'k>(
        &self,
        totals: &mut Totals,
        label: Label,
        keys: impl Iterator<Item = &'k Key>,
    ) -> Result<(), StoreError> {
        let new = totals.new_values(label, keys);
        if !new.is_empty() {
            totals.show(label, self.give_places(label, &new, totals.max_values(label)).await?);
        }
        Ok(())
    }

    /// Adds what was counted to the totals that are shown, and to those that are being read.
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

    fn since(&self) -> MutexGuard<'_, Since> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add(to: &mut BTreeMap<Key, Sums>, key: &Key, more: &Sums) {
    match to.get_mut(key) {
        Some(sums) => sums.add(more),
        None => drop(to.insert(key.clone(), more.clone())),
    }
}
