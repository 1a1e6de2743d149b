//! The destination of events: the store, else the spool, and the totals of both in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use strum::VariantArray;

use super::batch::Batch;
use super::digest::DigestTask;
use super::replay;
use super::rollup_merge::RollupMerge;
use super::totals_reload::{self, CountedSince, TotalsReload};
use super::{Destination, Tracked};
use crate::clock::Clock;
use crate::config::Config;
use crate::event::{Event, EventKey};
use crate::metrics::{Bounds, Label, Metrics, Series, Totals};
use crate::rollup::{Key, Rollup, Sums};
use crate::spool::{Delivery, Spool};
use crate::store::{CountedRollup, Store, StoreError};

/// How many times new series are looked for: businesses that another replica left no room for are counted under others, whose series
/// may be new too.
pub(super) const MAX_SHOWING: usize = 3;

/// How long rows of other programs are counted before the service is ready.
const FIRST_COUNT_LIMIT: Duration = Duration::from_secs(5);

/// How long the first load of the totals may take to begin, while events are spilled.
const FIRST_BEGIN_LIMIT: Duration = Duration::from_secs(5);

/// The store, the spool, and the totals of both.
pub(super) struct Sink {
    pub(super) store: Store,
    pub(super) spool: Option<Arc<Spool>>,
    pub(super) metrics: Metrics,
    clock: Clock,
    pub(super) max_businesses: usize,
    pub(super) rollup_merge: Arc<RollupMerge>,
    digest: Arc<DigestTask>,
    pub(super) since: Mutex<CountedSince>,
    /// For each label, whether it was logged that it is full.
    logged_full: [AtomicBool; Label::VARIANTS.len()],
}

impl Sink {
    pub(super) fn new(
        config: &Config,
        store: Store,
        metrics: Metrics,
        clock: Clock,
        spool: Option<Arc<Spool>>,
        (rollup_merge, digest): (Arc<RollupMerge>, Arc<DigestTask>),
    ) -> Self {
        let max_businesses = config.metrics_max_businesses.get() as usize;
        let (since, logged_full) = Default::default();
        Self { store, spool, metrics, clock, max_businesses, rollup_merge, digest, since, logged_full }
    }

    /// Migrates the tables, reads the profiles, on whose time zones the days of events depend, and counts existing rows of other
    /// programs. Returns whether some are left.
    pub(super) async fn migrate(&self) -> Result<bool, StoreError> {
        self.store.migrate().await?;
        self.store.load_profiles().await?;
        self.digest.begin();
        let (begun, mut more) = (Instant::now(), true);
        while more && begun.elapsed() < FIRST_COUNT_LIMIT {
            more = self.count_foreign_rows().await?;
        }
        Ok(more)
    }

    /// Opens the spool. If that fails, the service continues without it and retries later.
    pub(super) async fn open_spool(&self) {
        if let Some(spool) = &self.spool
            && let Err(error) = spool.open().await
        {
            tracing::error!("cannot use the spool: {error}");
        }
    }

    /// Checks that the store accepts events, removes events from the spool that are in the store, and loads
    /// the totals.
    pub(super) async fn prepare(self: &Arc<Self>) -> Result<(), StoreError> {
        self.store.probe().await?;
        if let Some(spool) = &self.spool {
            replay::remove_stored(&self.store, spool).await?;
        }
        let mut reload = TotalsReload::new();
        self.begin_reload(&mut reload, FIRST_BEGIN_LIMIT).await?;
        match totals_reload::end(&mut reload).await {
            Some(totals) => self.show_totals(totals?).await,
            None => Ok(()),
        }
    }

    /// Counts some rows that other programs inserted. Returns whether more may be left.
    pub(super) async fn count_foreign_rows(&self) -> Result<bool, StoreError> {
        match self.store.count_foreign_rows(self.clock.now()).await {
            // Another replica is counting them; the next attempt sees what it left.
            Err(StoreError::Conflict(_)) => Ok(true),
            counted => {
                let counted = counted?;
                self.metrics.count_redacted(counted.redacted);
                Ok(counted.more)
            }
        }
    }

    /// Adds what the store has counted to the totals.
    ///
    /// # Errors
    ///
    /// Fails if new series cannot be stored; then the totals must be reloaded.
    pub(super) async fn add_stored(&self, counted: CountedRollup) -> Result<(), StoreError> {
        let shown = self.show_stored(&counted.rollup).await;
        self.notify_digest();
        if !counted.pending.is_empty() {
            self.rollup_merge.add(counted);
        }
        shown
    }

    /// Has events that were just stored be digested.
    pub(super) fn notify_digest(&self) {
        self.digest.notify();
    }

    /// Stores new series. Returns what is shown now: all that is stored if another replica has taken the room of some, which changes what
    /// the others are.
    pub(super) async fn show_series(&self, new: &[(Series, Bounds)]) -> Result<Vec<Series>, StoreError> {
        let shown = self.store.add_series(new).await?;
        if shown.len() == new.len() { Ok(shown) } else { self.store.series().await }
    }

    async fn show_stored(&self, rollup: &Rollup) -> Result<(), StoreError> {
        let keys = rollup.daily.keys().map(|(_, key)| key);
        for _ in 0..MAX_SHOWING {
            let new = self.metrics.with_totals(|totals| totals.new_series(&keys)).unwrap_or_default();
            if new.is_empty() {
                break;
            }
            let shown = self.show_series(&new).await?;
            self.metrics.update_totals(|totals| totals.show_stored(shown));
        }
        self.add_counted(rollup);
        self.warn_of_full_labels();
        Ok(())
    }

    /// Logs full labels, each once.
    pub(super) fn warn_of_full_labels(&self) {
        let full: Vec<Label> =
            self.metrics.with_totals(|totals| totals.full_labels().collect()).unwrap_or_default();
        for label in full {
            if !self.logged_full[label as usize].swap(true, Ordering::Relaxed) {
                let name = label.name();
                tracing::warn!(
                    label = name,
                    "label {name} has reached a limit of series; new values count as \"other\""
                );
            }
        }
    }

    /// Spools events and adds them to the totals. Returns for each whether it is new in the spool, or `None`
    /// if there is no spool or it does not accept them.
    pub(super) async fn spill(&self, events: &[&Event], delivery: Delivery) -> Option<Vec<bool>> {
        let added = self.spool.as_ref()?.add(events, delivery).await;
        let added =
            added.inspect_err(|error| tracing::error!("the spool is not accepting events: {error}")).ok()?;
        let new = events.iter().zip(&added).filter(|(_, added)| **added);
        let sums: Vec<(Key, Sums)> = new.map(|(event, _)| (Key::of(event), Sums::of(event))).collect();
        self.metrics.update_totals(|totals| add_spooled(totals, sums.iter().map(|(key, sums)| (key, sums))));
        Some(added)
    }

    /// Counts the spooled events that the store refused and `filter` selects in the store, and removes them
    /// from the spool. Returns their number. No replay may be in progress.
    pub(super) async fn discard(
        &self,
        filter: Option<&(dyn Fn(&Event) -> bool + Send + Sync)>,
    ) -> Result<u64, StoreError> {
        let Some(spool) = &self.spool else { return Ok(0) };
        if !spool.is_writable() {
            return Err(StoreError::Unavailable("cannot use the spool".to_owned()));
        }
        let Some(filter) = filter.filter(|_| spool.state().depth() > 0) else { return Ok(0) };
        let found = spool.find(filter).await?;
        let events: Vec<Event> = found.iter().map(|spooled| spooled.event.clone()).collect();
        self.store.count_without_rows(&events, self.clock.now()).await?;
        spool.discard(&found).await?;
        Ok(found.len() as u64)
    }

    /// Updates the metrics of what is added up beside the rollups.
    pub(super) async fn show_facts(&self) {
        if let Err(error) = self.digest.show(&self.store, &self.metrics, true).await {
            tracing::warn!("cannot read the totals of conversations: {error}");
        }
    }

    /// Updates the metrics of open privacy requests.
    pub(super) async fn show_requests(&self) {
        match self.store.open_requests(None, self.clock.now()).await {
            Ok(open) => self.metrics.show_requests(open.open, open.overdue),
            Err(error) => tracing::warn!("cannot count open privacy requests: {error}"),
        }
    }

    /// Sets the results of a batch's events that are in the spool already, which can only be those with an id
    /// from the caller.
    pub(super) async fn find_spooled(&self, batch: &mut Batch) {
        let Some(spool) = self.spool.as_ref().filter(|spool| spool.state().depth() > 0) else { return };
        let named: Vec<EventKey> = batch.events.iter().filter(|event| event.named).map(Event::key).collect();
        let known = spool.known(&named).await.unwrap_or_default();
        for (event, result) in batch.events.iter().zip(&mut batch.results) {
            if event.named && known.contains(&event.key()) {
                *result = Some(Ok(Tracked { duplicate: true, destination: Destination::Spool }));
            }
        }
    }
}

/// Adds the sums of spooled events to the totals. New series are shown as far as there is room, and stored
/// when the store is available again.
pub(super) fn add_spooled<'k>(
    totals: &mut Totals,
    spooled: impl Iterator<Item = (&'k Key, &'k Sums)> + Clone,
) {
    let new = totals.new_series(&spooled.clone().map(|(key, _)| key));
    totals.show(new.into_iter().map(|(series, _)| series));
    spooled.for_each(|(key, sums)| totals.add(key, sums));
}
