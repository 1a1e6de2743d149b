//! One run, which deletes or counts the old rows of every table.

mod month;

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use strum::VariantArray;
use tokio_util::sync::CancellationToken;

use super::Policy;
use super::pace::Pace;
use crate::audit::{Action, Actor, Entry};
use crate::clock::Clock;
use crate::metrics::RetentionMetrics;
use crate::store::{
    Deleted, Retained, RetentionCounts, RetentionRecord, Store, StoreError, TablePlan, Window, WindowCounts,
};

/// Why a run did not complete. What it deleted stays deleted, and the next run continues.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Another run is in progress.
    #[error("another run is in progress")]
    Busy,
    /// The run was interrupted, as when the service stops.
    #[error("the run was interrupted")]
    Stopped,
    /// This many old rows cannot be counted and were therefore not deleted.
    #[error(
        "{0} old rows of ai_metrics inserted by another program have invalid values; they are neither counted nor \
        deleted until you fix or delete them"
    )]
    Uncountable(i64),
    /// A table could not be processed.
    #[error("{table}: {error}")]
    Table {
        /// The table.
        table: &'static str,
        /// The error.
        error: StoreError,
    },
    /// The database failed.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// What a run did with a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableTally {
    /// The table.
    pub kind: Retained,
    /// The time before which its rows are old; `None` if they are kept forever.
    pub cutoff: Option<DateTime<Utc>>,
    /// Rows that were deleted, or would be in a dry run; `None` if the table does not exist or its rows are
    /// kept forever.
    pub rows: Option<u64>,
    /// Old rows that were not deleted because they cannot be counted.
    pub uncountable: i64,
    /// Rows dated more than a day ahead, or at `infinity`: no retention period ends for them in its time.
    pub ahead: i64,
    /// The most rows deleted in one transaction, without those of months that were dropped as a whole.
    pub most_together: u64,
}

impl TableTally {
    /// Returns a sentence about rows that are dated ahead, if there are any.
    #[must_use]
    pub fn ahead_of_time(&self) -> Option<String> {
        let Self { kind, ahead, .. } = self;
        (*ahead > 0).then(|| {
            format!(
                "{ahead} rows of {} are dated more than a day ahead or infinity and are not deleted in time: correct their dates",
                kind.table()
            )
        })
    }
}

/// How far a run is with a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What it did with it so far.
    pub done: TableTally,
    /// How much of the table it has read, in percent; 100 when it is done with it.
    pub percent: i64,
}

/// Is told how far a run is, after each step.
pub struct Observer<'r>(pub &'r (dyn Fn(Progress) + Sync));

impl std::fmt::Debug for Observer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Observer")
    }
}

/// How far ahead a row may be dated, because clocks and time zones of programs differ.
const HORIZON: TimeDelta = TimeDelta::days(1);

/// What a run did with each table, in order.
pub type Tally = Vec<TableTally>;

/// The parameters of a run.
#[derive(Debug)]
pub struct Run<'r> {
    /// The store whose rows are deleted.
    pub store: &'r Store,
    /// The retention periods.
    pub policy: Policy,
    /// The source of the current time.
    pub clock: &'r Clock,
    /// Who started the run.
    pub by: Actor,
    /// Whether the run only counts old rows.
    pub dry: bool,
    /// Cancelled to interrupt the run.
    pub stop: &'r CancellationToken,
    /// The metrics that count deleted rows.
    pub metrics: &'r RetentionMetrics,
    /// Who is told how far it is, if anybody.
    pub observer: Option<Observer<'r>>,
}

impl Run<'_> {
    /// Executes the run and records its outcome in the audit trail. Returns `None` if, with the lock
    /// acquired, the run is not due according to `is_due`.
    ///
    /// # Errors
    ///
    /// [`Failure::Busy`] if another run has the lock.
    pub async fn execute(
        &self,
        is_due: impl FnOnce(&RetentionRecord) -> bool,
    ) -> Result<Option<Tally>, Failure> {
        let now = self.clock.now();
        let lock = self.store.lock_retention().await?.ok_or(Failure::Busy)?;
        let record = self.store.ensure_retention_record(now).await?;
        let executed = if is_due(&record) { self.execute_locked(now).await.map(Some) } else { Ok(None) };
        lock.release().await;
        executed
    }

    async fn execute_locked(&self, now: DateTime<Utc>) -> Result<Tally, Failure> {
        if self.dry {
            let tally = self.process_tables(now, &mut Tally::new()).await?;
            let entry = self.by.entry(Action::RetentionDryRun).with("rows", rows_of(&tally));
            self.store.append_audit(self.clock.now(), &entry).await?;
            return Ok(tally);
        }
        if let Some(left) = self.store.begin_retention(now).await? {
            let entry = self.entry("interrupted", rows_of_counts(left));
            self.store.finish_retention(now, None, &entry).await?;
            self.store.begin_retention(now).await?;
        }
        let mut so_far = Tally::new();
        let processed = self.process_tables(now, &mut so_far).await;
        let (outcome, tally, done) = match &processed {
            Ok(tally) => ("done", tally, Some(now)),
            Err(Failure::Stopped) => ("interrupted", &so_far, None),
            Err(_) => ("failed", &so_far, None),
        };
        let entry = self.entry(outcome, rows_of(tally));
        let recorded = self.store.finish_retention(self.clock.now(), done, &entry).await;
        let tally = processed?;
        recorded?;
        Ok(tally)
    }

    /// Processes all tables, even if one of them fails. `so_far` has what was done, also in case of an error.
    async fn process_tables(&self, now: DateTime<Utc>, so_far: &mut Tally) -> Result<Tally, Failure> {
        let mut failed = None;
        for kind in Retained::VARIANTS.iter().copied() {
            let cutoff = self.policy.cutoff(kind, now);
            let mut done =
                TableTally { kind, cutoff, rows: None, uncountable: 0, ahead: 0, most_together: 0 };
            let processed = match cutoff {
                Some(cutoff) => self.process_table(&mut done, cutoff, now).await,
                None => Ok(()),
            };
            if cutoff.is_some() {
                self.observe(&done, 100);
            }
            so_far.push(done);
            match processed {
                Err(Failure::Store(error)) => {
                    failed.get_or_insert(Failure::Table { table: kind.table(), error });
                }
                other => other?,
            }
        }
        match (failed, so_far.iter().map(|done| done.uncountable).sum()) {
            (Some(failure), _) => Err(failure),
            (None, 0) => Ok(so_far.clone()),
            (None, uncountable) => Err(Failure::Uncountable(uncountable)),
        }
    }

    async fn process_table(
        &self,
        done: &mut TableTally,
        cutoff: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<(), Failure> {
        let plans = self.store.plans(done.kind).await?;
        if plans.is_empty() {
            if done.kind == Retained::Events {
                let what = "ai_metrics is not a table, or its created_at column does not hold times";
                return Err(StoreError::Unusable(what.to_owned()).into());
            }
            return Ok(());
        }
        done.rows = Some(0);
        if done.kind == Retained::Audit && !self.dry {
            return self.purge_audit(done, cutoff, now).await;
        }
        for table in plans {
            if self.dry || !self.drop_past_month(done, &table, cutoff).await? {
                self.process_windows(done, &table, cutoff, now).await?;
            }
        }
        Ok(())
    }

    /// Processes a table, or one of its partitions, window by window.
    async fn process_windows(
        &self,
        done: &mut TableTally,
        table: &TablePlan,
        cutoff: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<(), Failure> {
        let mut pace = self.pace();
        let mut from = table.range.start;
        while from < table.range.end {
            let window = pace.window(from, table.range.end);
            let bounded = Window::new(table, &window, cutoff, now + HORIZON);
            let pause = match self.process_window(bounded, &mut pace, now).await {
                Ok(Some(Processed { deleted: Deleted { rows, took }, uncountable, ahead })) => {
                    from = self.store.next_window(table, window.end).await?;
                    done.uncountable += uncountable;
                    done.ahead += ahead;
                    self.record(done, rows);
                    self.observe(done, percent(from, &table.range));
                    pace.pause_after(took)
                }
                Ok(None) => continue,
                Err(error) => {
                    let transient = !is_row_error(&error) && !matches!(error, StoreError::Unusable(_));
                    pace.pause_after_failure().filter(|_| transient).ok_or(error)?
                }
            };
            self.pause(pause).await?;
        }
        Ok(())
    }

    async fn pause(&self, pause: Duration) -> Result<(), Failure> {
        self.stop.run_until_cancelled(tokio::time::sleep(pause)).await.ok_or(Failure::Stopped)
    }

    const fn pace(&self) -> Pace {
        if self.store.is_file() { Pace::for_file() } else { Pace::for_server() }
    }

    /// Processes a window. Returns `None` if it had too many rows and was narrowed.
    async fn process_window(
        &self,
        window: Window<'_>,
        pace: &mut Pace,
        now: DateTime<Utc>,
    ) -> Result<Option<Processed>, StoreError> {
        let begun = Instant::now();
        let counts = self.store.count_window(window).await?;
        let ahead = counts.ahead;
        if self.dry || counts.old == 0 && counts.undated == 0 {
            let deleted = Deleted { rows: counts.old.unsigned_abs(), took: begun.elapsed() };
            return Ok(Some(Processed { deleted, uncountable: 0, ahead }));
        }
        if pace.narrow(counts.old) {
            return Ok(None);
        }
        let (deleted, uncountable) = self.delete(window, now, counts).await?;
        Ok(Some(Processed { deleted, uncountable, ahead }))
    }

    /// Deletes the old rows of a window. Rows that cannot be counted stay, so that no sum is wrong.
    async fn delete(
        &self,
        window: Window<'_>,
        now: DateTime<Utc>,
        counts: WindowCounts,
    ) -> Result<(Deleted, i64), StoreError> {
        match self.store.delete_old(window, now, counts, false).await {
            Err(error) if counts.uncounted > 0 && is_row_error(&error) => {
                let deleted = self.store.delete_old(window, now, counts, true).await?;
                tracing::debug!("cannot count old rows: {error}");
                Ok((deleted, counts.uncounted))
            }
            deleted => Ok((deleted?, 0)),
        }
    }

    async fn purge_audit(
        &self,
        done: &mut TableTally,
        cutoff: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<(), Failure> {
        done.ahead = self.store.audit_entries_after(now + HORIZON).await?;
        while let Some(purged) = self.store.purge_audit(cutoff, now, &self.by).await? {
            self.record(done, purged.rows);
            self.observe(done, 0);
            if self.stop.is_cancelled() {
                return Err(Failure::Stopped);
            }
        }
        Ok(())
    }

    fn record(&self, done: &mut TableTally, rows: u64) {
        done.rows = Some(done.rows.unwrap_or(0) + rows);
        done.most_together = done.most_together.max(rows);
        if !self.dry {
            self.metrics.deleted(done.kind.table(), rows);
        }
    }

    fn observe(&self, done: &TableTally, percent: i64) {
        if let Some(Observer(observe)) = &self.observer {
            observe(Progress { done: *done, percent });
        }
    }

    fn entry(&self, outcome: &str, rows: Value) -> Entry {
        let days = Retained::VARIANTS
            .iter()
            .copied()
            .filter_map(|kind| Some((kind.table().to_owned(), self.policy.days(kind)?.into())));
        let days = Value::Object(days.collect());
        self.by.entry(Action::RetentionRun).with("outcome", outcome).with("days", days).with("rows", rows)
    }
}

/// What was done with a window.
struct Processed {
    deleted: Deleted,
    /// Old rows that cannot be counted and stay.
    uncountable: i64,
    /// Rows that are dated ahead.
    ahead: i64,
}

/// Returns how much of a range lies before `from`, in percent.
fn percent(from: i64, range: &std::ops::Range<i64>) -> i64 {
    let (read, all) = (from.saturating_sub(range.start), range.end.saturating_sub(range.start).max(1));
    // The last percent is for what follows the last window.
    i64::try_from(i128::from(read) * 100 / i128::from(all)).unwrap_or(0).clamp(0, 99)
}

/// Returns whether an error is about the values of a row.
const fn is_row_error(error: &StoreError) -> bool {
    matches!(error, StoreError::Unreadable(_)) || error.is_refusal()
}

fn rows_of(tally: &Tally) -> Value {
    let rows = tally.iter().filter_map(|done| Some((done.kind.table().to_owned(), done.rows?.into())));
    Value::Object(rows.collect())
}

fn rows_of_counts(counts: RetentionCounts) -> Value {
    Value::Object(counts.into_iter().map(|(table, rows)| (table, rows.into())).collect())
}
