//! Writes to the audit trail what nobody waits for: that the service started, and which attempts at the routes of
//! administration and privacy were refused.
//!
//! Attackers must not fill the table: of each kind of refusal 20 are entries at once and one a minute after that. The
//! others are counted, and a later entry of their kind tells how many they were.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Action, By, Entry};
use crate::clock::Clock;
use crate::log_on_change::LogOnChange;
use crate::security::SecurityEvent;
use crate::store::{Store, StoreError};

/// Entries that wait while the store is away; more are counted only.
const MAX_WAITING: usize = 256;

/// How often the store is tried again, and how often counts are looked at that no entry tells yet.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// Refusals of each kind that are entries at once.
const BURST: i32 = 20;

/// After that, one entry in this time.
const REFILL: TimeDelta = TimeDelta::minutes(1);

/// The entries that are still to be written.
#[derive(Debug, Clone)]
pub struct Recorder(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: Clock,
    waiting: Mutex<VecDeque<(DateTime<Utc>, Entry)>>,
    added: Notify,
    shares: Mutex<[Share; SecurityEvent::ALL.len()]>,
}

/// What one kind of refusal may take up.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    /// Up to when its entries are spent.
    spent_until: DateTime<Utc>,
    /// Refusals that no entry tells.
    untold: u64,
}

impl Share {
    /// Takes an entry at `now`, if there is one left.
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
    /// No entries yet.
    #[must_use]
    pub fn new(store: Store, clock: Clock) -> Self {
        let (waiting, added, shares) = (Mutex::default(), Notify::new(), Mutex::default());
        Self(Arc::new(Inner { store, clock, waiting, added, shares }))
    }

    /// Notes that the service started with these settings, on the database at `database`.
    pub fn record_start(&self, settings: &[(&'static str, String)]) {
        let settings = settings.iter().map(|(name, text)| ((*name).to_owned(), text.clone().into()));
        let entry = By::service()
            .did(Action::ServiceStarted)
            .with("version", env!("CARGO_PKG_VERSION"))
            .with("database", self.0.store.place())
            .with("settings", settings.collect::<serde_json::Map<_, _>>());
        self.add(entry);
    }

    /// Notes that an attempt of `by` at `route` was refused, unless too many of this kind were.
    pub fn record_refusal(
        &self,
        kind: SecurityEvent,
        by: &By,
        route: &str,
        reason: &str,
        key: Option<String>,
    ) {
        let share = &mut self.shares()[kind as usize];
        if self.is_full() || !share.take(self.0.clock.now()) {
            share.untold += 1;
            return;
        }
        let entry = by.did(Action::AdminRefused).with("route", route).with("reason", reason).with("key", key);
        self.add(entry.with("not_told_before", told(share)));
    }

    /// Tells of refusals that were counted only, when there is room again and no other of their kind came.
    fn tell_untold(&self) {
        for (kind, share) in SecurityEvent::ALL.iter().zip(&mut *self.shares()) {
            if share.untold > 0 && !self.is_full() && share.take(self.0.clock.now()) {
                let entry = By::service().did(Action::AdminRefused).with("reason", kind.name());
                self.add(entry.with("not_told_before", told(share)));
            }
        }
    }

    fn shares(&self) -> MutexGuard<'_, [Share; SecurityEvent::ALL.len()]> {
        self.0.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, entry: Entry) {
        let at = self.0.clock.now();
        self.waiting().push_back((at, entry));
        self.0.added.notify_one();
    }

    fn is_full(&self) -> bool {
        self.waiting().len() >= MAX_WAITING
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<(DateTime<Utc>, Entry)>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what waits, again and again until the last request was answered.
    pub async fn run(self, ending: CancellationToken) {
        let mut log = LogOnChange::new("the audit trail can be written again");
        loop {
            let written = self.write().await;
            let failed = written.is_err();
            log.update(written.err().map(|error| format!("the audit trail cannot be written: {error}")));
            if ending.is_cancelled() {
                return;
            }
            let pause = async {
                match failed {
                    true => tokio::time::sleep(LOOK_EVERY).await,
                    false => drop(timeout(LOOK_EVERY, self.0.added.notified()).await),
                }
            };
            ending.run_until_cancelled(pause).await;
            self.tell_untold();
        }
    }

    /// Writes what waits. Where the store does not say whether it wrote an entry, it is written again: twice is better
    /// than never.
    async fn write(&self) -> Result<(), StoreError> {
        loop {
            let Some((at, entry)) = self.waiting().front().cloned() else { return Ok(()) };
            let head = self.0.store.append_audit(at, &entry).await?;
            self.waiting().pop_front();
            if entry.action == Action::ServiceStarted {
                tracing::info!(%head, "the head of the audit trail is {head}; note it elsewhere");
            }
        }
    }
}

/// How many refusals no entry told so far, if any: the entry that is being made does.
fn told(share: &mut Share) -> Option<u64> {
    Some(std::mem::take(&mut share.untold)).filter(|untold| *untold > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_fit_at_once_and_one_a_minute_after_that() {
        let (mut share, begun) = (Share::default(), DateTime::UNIX_EPOCH + TimeDelta::days(20_000));
        let mut fit = |seconds: i64, tries: usize| {
            (0..tries).filter(|_| share.take(begun + TimeDelta::seconds(seconds))).count()
        };
        assert_eq!(fit(0, 1_000), 20);
        assert_eq!(fit(59, 1_000), 0);
        assert_eq!(fit(60, 1_000), 1);
        assert_eq!(fit(60 * 11, 1_000), 10);
        assert_eq!(fit(60 * 600, 1_000), 20);
    }
}
