//! Records audit entries that no request waits for: starts of the service, and rejected requests to privacy
//! and administration routes.
//!
//! So that attackers cannot fill the table, each kind of rejection gets 20 entries at once and one a minute
//! after that. The others are only counted; a later entry of their kind reports how many there were.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::{Mutex, MutexGuard};
use strum::VariantArray;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Action, Actor, Entry};
use crate::clock::Clock;
use crate::log_on_change::LogOnChange;
use crate::security::SecurityEvent;
use crate::store::{Store, StoreError};

/// The maximum number of entries queued while the store is unavailable; further ones are only counted.
const MAX_QUEUED: usize = 256;

/// How often writing is retried, and how often unreported counts are checked.
const RETRY_EVERY: Duration = Duration::from_secs(3);

/// Rejections of each kind that are recorded at once.
const BURST: i32 = 20;

/// The interval after which another one is recorded.
const REFILL: TimeDelta = TimeDelta::minutes(1);

/// The queue of entries to be written.
#[derive(Debug, Clone)]
pub struct Recorder(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: Clock,
    queue: Mutex<VecDeque<(DateTime<Utc>, Entry)>>,
    added: Notify,
    budgets: Mutex<[Budget; SecurityEvent::VARIANTS.len()]>,
}

/// The budget of one kind of rejection.
#[derive(Debug, Clone, Copy, Default)]
struct Budget {
    /// The time up to which its entries are used up.
    spent_until: DateTime<Utc>,
    /// Rejections that no entry has reported.
    unreported: u64,
}

impl Budget {
    /// Takes an entry from the budget at `now`. Returns whether there was one left.
    fn take(&mut self, now: DateTime<Utc>) -> bool {
        let spent_until = self.spent_until.max(now);
        let fits = spent_until - now <= REFILL * (BURST - 1);
        if fits {
            self.spent_until = spent_until + REFILL;
        }
        fits
    }
}

impl Recorder {
    /// Creates an empty queue.
    #[must_use]
    pub fn new(store: Store, clock: Clock) -> Self {
        let (queue, added, budgets) = (Mutex::default(), Notify::new(), Mutex::default());
        Self(Arc::new(Inner { store, clock, queue, added, budgets }))
    }

    /// Records that the service started with these settings.
    pub fn record_start(&self, settings: &[(&'static str, String)]) {
        let settings = settings.iter().map(|(name, text)| ((*name).to_owned(), text.clone().into()));
        let entry = Actor::service()
            .entry(Action::ServiceStarted)
            .with("version", env!("CARGO_PKG_VERSION"))
            .with("database", self.0.store.place())
            .with("settings", settings.collect::<serde_json::Map<_, _>>());
        self.add(entry);
    }

    /// Records that a request of `actor` to `route` was rejected, unless too many of this kind were.
    pub fn record_rejection(
        &self,
        kind: SecurityEvent,
        actor: &Actor,
        route: &str,
        reason: &str,
        key: Option<String>,
    ) {
        let budget = &mut self.budgets()[kind as usize];
        if self.is_full() || !budget.take(self.0.clock.now()) {
            budget.unreported += 1;
            return;
        }
        let entry =
            actor.entry(Action::AdminRefused).with("route", route).with("reason", reason).with("key", key);
        self.add(entry.with("not_told_before", take_unreported(budget)));
    }

    /// Records counts of unreported rejections once their budget allows it.
    fn record_unreported(&self) {
        for (kind, budget) in SecurityEvent::VARIANTS.iter().zip(&mut *self.budgets()) {
            if budget.unreported > 0 && !self.is_full() && budget.take(self.0.clock.now()) {
                let entry = Actor::service().entry(Action::AdminRefused).with("reason", kind.name());
                self.add(entry.with("not_told_before", take_unreported(budget)));
            }
        }
    }

    fn budgets(&self) -> MutexGuard<'_, [Budget; SecurityEvent::VARIANTS.len()]> {
        self.0.budgets.lock()
    }

    fn add(&self, entry: Entry) {
        let at = self.0.clock.now();
        self.queue().push_back((at, entry));
        self.0.added.notify_one();
    }

    fn is_full(&self) -> bool {
        self.queue().len() >= MAX_QUEUED
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<(DateTime<Utc>, Entry)>> {
        self.0.queue.lock()
    }

    /// Writes queued entries until `ending` is cancelled.
    pub async fn run(self, ending: CancellationToken) {
        let mut log = LogOnChange::new("the audit trail can be written to again");
        loop {
            let written = self.write().await;
            let failed = written.is_err();
            log.update(written.err().map(|error| format!("cannot write to the audit trail: {error}")));
            if ending.is_cancelled() {
                return;
            }
            let pause = async {
                match failed {
                    true => tokio::time::sleep(RETRY_EVERY).await,
                    false => drop(timeout(RETRY_EVERY, self.0.added.notified()).await),
                }
            };
            ending.run_until_cancelled(pause).await;
            self.record_unreported();
        }
    }

    /// Writes queued entries. When it is unknown whether an entry was written, it is written again: a
    /// duplicate is better than a gap.
    async fn write(&self) -> Result<(), StoreError> {
        loop {
            let Some((at, entry)) = self.queue().front().cloned() else { return Ok(()) };
            let head = self.0.store.append_audit(at, &entry).await?;
            self.queue().pop_front();
            if entry.action == Action::ServiceStarted {
                tracing::info!(%head, "audit trail head: {head}; record it elsewhere");
            }
        }
    }
}

/// Returns and resets the count of unreported rejections; `None` if there are none.
fn take_unreported(budget: &mut Budget) -> Option<u64> {
    Some(std::mem::take(&mut budget.unreported)).filter(|unreported| *unreported > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_fit_at_once_and_one_a_minute_after_that() {
        let (mut budget, begun) = (Budget::default(), DateTime::UNIX_EPOCH + TimeDelta::days(20_000));
        let mut fit = |seconds: i64, tries: usize| {
            (0..tries).filter(|_| budget.take(begun + TimeDelta::seconds(seconds))).count()
        };
        assert_eq!(fit(0, 1_000), 20);
        assert_eq!(fit(59, 1_000), 0);
        assert_eq!(fit(60, 1_000), 1);
        assert_eq!(fit(60 * 11, 1_000), 10);
        assert_eq!(fit(60 * 600, 1_000), 20);
    }
}
