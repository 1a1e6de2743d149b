//! What the ingest task does beside writing events: it brings the tables up to date, counts rows of other programs, and
//! keeps the totals in memory those of store and spool.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::reading::{self, Reading, Since};
use super::settle::Settling;
use super::waiting::{Fate, Group};
use super::{Kept, Tracked, replay};
use crate::clock::Clock;
use crate::config::Config;
use crate::event::Event;
use crate::metrics::{Label, Metrics, Totals};
use crate::rollup::{Key, Rollup, Sums};
use crate::store::{Counted, Spool, Standing, Store, StoreError};

/// How long foreign rows are counted before the service says that it is ready.
const FIRST_COUNT_LIMIT: Duration = Duration::from_secs(5);

/// How long the first reading of the totals may take to begin, while events go into the spool.
const FIRST_BEGIN_LIMIT: Duration = Duration::from_secs(5);

/// The store, the spool, and the totals of both.
pub(super) struct Upkeep {
    pub(super) store: Store,
    pub(super) spool: Option<Arc<Spool>>,
    pub(super) metrics: Metrics,
    clock: Clock,
    pub(super) max_businesses: usize,
    pub(super) settling: Arc<Settling>,
    pub(super) since: Mutex<Since>,
    /// Whether it was told of a label that it is full.
    folding: [AtomicBool; Label::ALL.len()],
}

impl Upkeep {
    pub(super) fn new(
        config: &Config,
        store: Store,
        metrics: Metrics,
        clock: Clock,
        spool: Option<Arc<Spool>>,
        settling: Arc<Settling>,
    ) -> Self {
        let max_businesses = config.metrics_max_businesses.get() as usize;
        let (since, folding) = Default::default();
        Self { store, spool, metrics, clock, max_businesses, settling, since, folding }
    }

    /// Brings the tables up to date and counts rows that are there already; says whether some are left.
    pub(super) async fn migrate(&self) -> Result<bool, StoreError> {
        self.store.migrate().await?;
        let (begun, mut more) = (Instant::now(), true);
        while more && begun.elapsed() < FIRST_COUNT_LIMIT {
            more = self.count_foreign_rows().await?;
        }
        Ok(more)
    }

    /// Opens the spool. One that cannot be opened keeps nothing from going on without it, and is tried again later.
    pub(super) async fn open_spool(&self) {
        if let Some(spool) = &self.spool
            && let Err(error) = spool.open().await
        {
            tracing::error!("the spool cannot be used: {error}");
        }
    }

    /// Makes sure that the store takes events, finds out which of those in the spool it has, and reads the totals.
    pub(super) async fn prepare(self: &Arc<Self>) -> Result<(), StoreError> {
        self.store.probe().await?;
        if let Some(spool) = &self.spool {
            replay::look_up(&self.store, spool).await?;
        }
        let mut reading = Reading::new();
        self.begin_reading(&mut reading, FIRST_BEGIN_LIMIT).await?;
        match reading::end(&mut reading).await {
            Some(totals) => self.show_totals(totals?).await,
            None => Ok(()),
        }
    }

    /// Counts some foreign rows; says whether more may be left.
    pub(super) async fn count_foreign_rows(&self) -> Result<bool, StoreError> {
        match self.store.count_foreign_rows(self.clock.now()).await {
            // Another replica counts them at this moment; the next attempt sees what it left.
            Err(StoreError::Conflict(_)) => Ok(true),
            counted => counted,
        }
    }

    /// Gives new values of `label` places, as far as there is room; gives back all that have one.
    pub(super) async fn give_places(
        &self,
        label: Label,
        new: &[String],
        max: usize,
    ) -> Result<Vec<String>, StoreError> {
        self.store.add_label_values(label.name(), new, max).await?;
        self.store.label_values(label.name(), max).await
    }

    /// Adds what the store has counted to the totals. An error is one of giving places to new label values; the totals
    /// are to be read anew then.
    pub(super) async fn count_stored(&self, counted: Counted) -> Result<(), StoreError> {
        let shown = self.show_stored(&counted.rollup).await;
        if !counted.pending.is_empty() {
            self.settling.add(counted);
        }
        shown
    }

    async fn show_stored(&self, rollup: &Rollup) -> Result<(), StoreError> {
        let keys = || rollup.daily.keys().map(|(_, key)| key);
        for label in Label::ALL {
            let new = self
                .metrics
                .with_totals(|totals| (totals.new_values(label, keys()), totals.max_values(label)));
            let Some((new, max)) = new.filter(|(new, _)| !new.is_empty()) else { continue };
            let shown = self.give_places(label, &new, max).await?;
            self.metrics.update_totals(|totals| totals.show(label, shown));
        }
        self.add_counted(rollup);
        self.tell_folding();
        Ok(())
    }

    /// Says once of each label that it is full.
    pub(super) fn tell_folding(&self) {
        let folding: Vec<Label> =
            self.metrics.with_totals(|totals| totals.folding().collect()).unwrap_or_default();
        for label in folding {
            if !self.folding[label as usize].swap(true, Ordering::Relaxed) {
                let name = label.name();
                tracing::warn!(
                    label = name,
                    "the label {name} has as many values as it may have; others count as \"other\""
                );
            }
        }
    }

    /// Puts events into the spool and adds them to the totals; says of each whether it is new there. `None` if there is
    /// no spool, or it cannot take them.
    pub(super) async fn put_by(&self, events: &[&Event], standing: Standing) -> Option<Vec<bool>> {
        let added = self.spool.as_ref()?.add(events, standing).await;
        let added = added.inspect_err(|error| tracing::error!("the spool takes no events: {error}")).ok()?;
        let new = events.iter().zip(&added).filter(|(_, added)| **added);
        let sums: Vec<(Key, Sums)> = new.map(|(event, _)| (Key::of(event), Sums::of(event))).collect();
        self.metrics.update_totals(|totals| add_spooled(totals, sums.iter().map(|(key, sums)| (key, sums))));
        Some(added)
    }

    /// Takes events out of the spool that the store refuses and that are `theirs`, having counted them in the store; gives
    /// their number. Nothing else is to be on its way from the spool to the store.
    pub(super) async fn forget(
        &self,
        theirs: Option<&(dyn Fn(&Event) -> bool + Send + Sync)>,
    ) -> Result<u64, StoreError> {
        let Some(spool) = &self.spool else { return Ok(0) };
        if !spool.works() {
            return Err(StoreError::Unavailable("the spool cannot be used".to_owned()));
        }
        let Some(theirs) = theirs.filter(|_| spool.state().depth() > 0) else { return Ok(0) };
        let found = spool.find(theirs).await?;
        let events: Vec<Event> = found.iter().map(|spooled| spooled.event.clone()).collect();
        self.store.count_without_rows(&events, self.clock.now()).await?;
        spool.forget(&found).await?;
        Ok(found.len() as u64)
    }

    /// Shows how many requests to the privacy desk are open.
    pub(super) async fn show_requests(&self) {
        match self.store.open_requests(self.clock.now()).await {
            Ok(open) => self.metrics.show_requests(open.open, open.overdue),
            Err(error) => tracing::warn!("requests to the privacy desk cannot be counted: {error}"),
        }
    }

    /// Finds out which events of a group are in the spool: callers repeat those they named.
    pub(super) async fn find_spooled(&self, group: &mut Group) {
        let Some(spool) = self.spool.as_ref().filter(|spool| spool.state().depth() > 0) else { return };
        let named: Vec<Uuid> =
            group.events.iter().filter(|event| event.named).map(|event| event.id).collect();
        let known = spool.known(&named).await.unwrap_or_default();
        for (event, fate) in group.events.iter().zip(&mut group.fates) {
            if known.contains(&event.id) {
                *fate = Fate::Kept(Tracked { duplicate: true, kept: Kept::Spooled });
            }
        }
    }
}

/// Adds what is in the spool. New label values get their places when the store is back; until then they are shown as far
/// as there is room.
pub(super) fn add_spooled<'k>(
    totals: &mut Totals,
    spooled: impl Iterator<Item = (&'k Key, &'k Sums)> + Clone,
) {
    for label in Label::ALL {
        let new = totals.new_values(label, spooled.clone().map(|(key, _)| key));
        totals.show(label, new);
    }
    spooled.for_each(|(key, sums)| totals.add(key, sums));
}
