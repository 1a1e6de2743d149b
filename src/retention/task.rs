//! The task that executes a run once a day.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use strum::VariantArray;
use tokio_util::sync::CancellationToken;

use super::{Failure, Policy, Run, Schedule, TableTally, Tally};
use crate::audit::Actor;
use crate::clock::Clock;
use crate::config::Config;
use crate::log_on_change::LogOnChange;
use crate::metrics::RetentionMetrics;
use crate::store::{Retained, Store, StoreError};

/// How often the task checks whether a run is due.
const CHECK_EVERY: Duration = Duration::from_secs(30);

/// How long after a failed run the next one begins.
const RETRY_AFTER: TimeDelta = TimeDelta::minutes(30);

/// How often overdue rows are counted.
const COUNT_EVERY: TimeDelta = TimeDelta::minutes(5);

/// Executes runs when they are due, unless another replica does.
#[derive(Debug)]
pub struct RetentionTask {
    store: Store,
    policy: Policy,
    schedule: Schedule,
    clock: Clock,
    metrics: RetentionMetrics,
    /// When the next run may begin, after a failed one.
    not_before: DateTime<Utc>,
    /// When overdue rows are counted next.
    count_at: DateTime<Utc>,
    log: LogOnChange,
}

impl RetentionTask {
    /// Creates the task that the settings define.
    #[must_use]
    pub fn new(config: &Config, store: Store, clock: Clock, metrics: RetentionMetrics) -> Self {
        for kind in Retained::VARIANTS.iter().copied() {
            metrics.deleted(kind.table(), 0);
        }
        Self {
            store,
            policy: Policy::of(config),
            schedule: Schedule { at: config.retention_at.0, zone: config.time_zone },
            clock,
            metrics,
            not_before: DateTime::<Utc>::MIN_UTC,
            count_at: DateTime::<Utc>::MIN_UTC,
            log: LogOnChange::new("old rows can be deleted again"),
        }
    }

    /// Executes runs until `stop`. A run in progress then ends after its current window.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            self.run_if_due(&stop).await;
            if stop.run_until_cancelled(tokio::time::sleep(CHECK_EVERY)).await.is_none() {
                return;
            }
        }
    }

    /// Executes a run if one is due, and updates the metrics. Returns what the run did.
    pub async fn run_if_due(&mut self, stop: &CancellationToken) -> Option<Tally> {
        let executed = self.execute_if_due(stop).await;
        let tally = match executed {
            Ok(tally) => {
                self.log.update(None);
                tally
            }
            Err(Failure::Busy | Failure::Stopped) => None,
            Err(failure) => {
                self.log.update(Some(format!("retention run failed: {failure}; retrying within the hour")));
                None
            }
        };
        let now = self.clock.now();
        if now >= self.count_at || tally.is_some() {
            self.count_at = now + COUNT_EVERY;
            self.add_months(now).await;
            // They are counted again soon, and an unavailable database is logged elsewhere.
            drop(self.count_overdue(now).await);
        }
        tally
    }

    /// Makes the months ahead of a partitioned table. Where the role may not, the check `partitions` tells when they run out.
    async fn add_months(&self, now: DateTime<Utc>) {
        match self.store.add_event_months(now).await {
            Ok(0) => {}
            Ok(made) => tracing::info!("made the partitions of {made} months of ai_metrics ahead"),
            Err(error) => tracing::debug!("cannot make partitions of ai_metrics ahead: {error}"),
        }
    }

    async fn execute_if_due(&mut self, stop: &CancellationToken) -> Result<Option<Tally>, Failure> {
        let now = self.clock.now();
        let record = match self.store.retention_record().await? {
            Some(record) => record,
            None => self.store.ensure_retention_record(now).await?,
        };
        self.metrics.show_success(record.done_at);
        let schedule = self.schedule;
        if now < self.not_before || !schedule.is_due(now, &record) {
            return Ok(None);
        }
        self.not_before = now + RETRY_AFTER;
        let (metrics, policy) = (&self.metrics, self.policy);
        let run = Run {
            store: &self.store,
            policy,
            clock: &self.clock,
            by: Actor::service(),
            dry: false,
            stop,
            metrics,
            observer: None,
        };
        let executed = run.execute(|record| schedule.is_due(now, record)).await;
        match &executed {
            Ok(None) | Err(Failure::Busy) => {}
            Ok(Some(tally)) => {
                metrics.ran("done");
                metrics.show_success(Some(now));
                log_tally(tally);
            }
            Err(Failure::Stopped) => metrics.ran("interrupted"),
            Err(_) => metrics.ran("failed"),
        }
        // Another replica's run in progress may still fail, so this is checked again soon.
        if matches!(executed, Ok(_) | Err(Failure::Busy)) {
            self.not_before = DateTime::<Utc>::MIN_UTC;
        }
        executed
    }

    /// Counts the rows that the last due run should have deleted.
    async fn count_overdue(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        let due = self.schedule.last(now);
        for kind in Retained::VARIANTS.iter().copied() {
            let Some(cutoff) = self.policy.cutoff(kind, due) else { continue };
            let plans = self.store.plans(kind).await?;
            if plans.is_empty() {
                continue;
            }
            let mut overdue = 0;
            for plan in plans {
                overdue += self.store.overdue(&plan, cutoff).await?;
            }
            self.metrics.show_overdue(kind.table(), overdue);
        }
        Ok(())
    }
}

fn log_tally(tally: &Tally) {
    let rows: Vec<String> = tally
        .iter()
        .filter_map(|done| {
            Some(format!("{} from {}", done.rows.filter(|rows| *rows > 0)?, done.kind.table()))
        })
        .collect();
    if rows.is_empty() {
        tracing::info!("no rows were old enough to delete");
    } else {
        tracing::info!("deleted old rows: {}", rows.join(", "));
    }
    for ahead in tally.iter().filter_map(TableTally::ahead_of_time) {
        tracing::warn!("{ahead}");
    }
}
