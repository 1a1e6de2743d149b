//! The task that has a run made once a day.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;

use super::{Failure, Policy, Run, Schedule, Tally};
use crate::audit::Actor;
use crate::clock::Clock;
use crate::config::Config;
use crate::log_on_change::LogOnChange;
use crate::metrics::RetentionMetrics;
use crate::store::{Retained, Store, StoreError};

/// How often it is looked whether a run is due.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// How long after a run that failed the next one begins.
const RETRY_AFTER: TimeDelta = TimeDelta::minutes(30);

/// How often what is overdue is counted.
const COUNT_EVERY: TimeDelta = TimeDelta::minutes(5);

/// Has runs made when they are due, by this replica unless another does.
#[derive(Debug)]
pub struct RetentionTask {
    store: Store,
    policy: Policy,
    schedule: Schedule,
    clock: Clock,
    metrics: RetentionMetrics,
    /// When the next run may begin, after one that failed.
    not_before: DateTime<Utc>,
    /// When what is overdue is counted next.
    count_at: DateTime<Utc>,
    log: LogOnChange,
}

impl RetentionTask {
    /// What the settings ask for.
    #[must_use]
    pub fn new(config: &Config, store: Store, clock: Clock, metrics: RetentionMetrics) -> Self {
        for kind in Retained::ALL {
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
            log: LogOnChange::new("old rows are deleted again"),
        }
    }

    /// Has runs made until `stop`. One that is under way then ends after what it is just deleting.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            self.look(&stop).await;
            if stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_none() {
                return;
            }
        }
    }

    /// Makes a run if one is due now; gives what it did. Metrics are up to date afterwards.
    pub async fn look(&mut self, stop: &CancellationToken) -> Option<Tally> {
        let made = self.make_if_due(stop).await;
        let tally = match made {
            Ok(tally) => {
                self.log.update(None);
                tally
            }
            Err(Failure::Busy | Failure::Stopped) => None,
            Err(failure) => {
                self.log.update(Some(format!(
                    "old rows are not deleted: {failure}; trying again within the hour"
                )));
                None
            }
        };
        let now = self.clock.now();
        if now >= self.count_at || tally.is_some() {
            self.count_at = now + COUNT_EVERY;
            // It is counted again soon; a database that is away is told by others.
            drop(self.count_overdue(now).await);
        }
        tally
    }

    async fn make_if_due(&mut self, stop: &CancellationToken) -> Result<Option<Tally>, Failure> {
        let now = self.clock.now();
        let record = match self.store.retention_record().await? {
            Some(record) => record,
            None => self.store.await_retention(now).await?,
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
        };
        let made = run.make(|record| schedule.is_due(now, record)).await;
        match &made {
            Ok(None) | Err(Failure::Busy) => {}
            Ok(Some(tally)) => {
                metrics.ran("done");
                metrics.show_success(Some(now));
                log_tally(tally);
            }
            Err(Failure::Stopped) => metrics.ran("interrupted"),
            Err(_) => metrics.ran("failed"),
        }
        // Where another replica's run is under way it may still fail, so it is looked again soon.
        if matches!(made, Ok(_) | Err(Failure::Busy)) {
            self.not_before = DateTime::<Utc>::MIN_UTC;
        }
        made
    }

    /// Counts what should have been deleted by the time at which a run was last due.
    async fn count_overdue(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        let due = self.schedule.last(now);
        for kind in Retained::ALL {
            let Some(cutoff) = self.policy.cutoff(kind, due) else { continue };
            if let Some(plan) = self.store.plan(kind).await? {
                self.metrics.show_overdue(kind.table(), self.store.overdue(&plan, cutoff).await?);
            }
        }
        Ok(())
    }
}

fn log_tally(tally: &Tally) {
    let rows: Vec<String> = tally
        .iter()
        .filter_map(|done| Some(format!("{} of {}", done.rows.filter(|rows| *rows > 0)?, done.kind.table())))
        .collect();
    if rows.is_empty() {
        tracing::info!("nothing was old enough to be deleted");
    } else {
        tracing::info!("old rows were deleted: {}", rows.join(", "));
    }
}
