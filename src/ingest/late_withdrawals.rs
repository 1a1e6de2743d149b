//! Withdrawals of consent that turn out later to concern stored events: the task that looks for them, beside the writing of events.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::store::{Store, StoreError};

/// How long a transaction of the receptionist app takes at most: it may commit some time after it noted when it began.
const COMMITTED_WITHIN: TimeDelta = TimeDelta::minutes(10);

/// The number of conversations that are looked at in one transaction.
const STEP: usize = 2_000;

/// The state of the task.
#[derive(Debug, Default)]
pub(super) struct LateWithdrawals {
    /// The time up to which the app's rows were searched.
    since: Option<DateTime<Utc>>,
    /// Conversations that are still to be looked at.
    pending: Vec<String>,
}

impl LateWithdrawals {
    /// Looks at the app's new rows `every` so often, until `stop`.
    pub(super) async fn run(mut self, store: Store, clock: Clock, every: Duration, stop: CancellationToken) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            if let Some(Err(error)) = stop.run_until_cancelled(self.round(&store, clock.now())).await {
                tracing::warn!("cannot look for withdrawn consents among the app's new rows: {error}");
            }
        }
    }

    /// Looks at what came or changed since the last round. What it did not come to is looked at in the next one.
    async fn round(&mut self, store: &Store, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.pending.extend(store.changed_conversations(self.since).await?);
        self.pending.sort_unstable();
        self.pending.dedup();
        self.since = Some(now - COMMITTED_WITHIN);
        while !self.pending.is_empty() {
            let from = self.pending.len().saturating_sub(STEP);
            store.delete_withdrawn(&self.pending[from..], now).await?;
            self.pending.truncate(from);
        }
        Ok(())
    }
}
