//! One run: it goes through every table and deletes what is old, or counts it.

use std::time::Instant;

use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::Policy;
use super::pace::Pace;
use crate::audit::{Action, Actor, Entry};
use crate::clock::Clock;
use crate::metrics::RetentionMetrics;
use crate::store::{Deleted, Retained, RetentionCounts, RetentionRecord, Seen, Store, StoreError, Window};

/// Why a run did not come to its end. What it deleted stays deleted, and the next one goes on.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Another one is under way.
    #[error("another run is under way")]
    Busy,
    /// It was told to stop.
    #[error("it was stopped before its end")]
    Stopped,
    /// Old rows cannot be counted, so they are kept.
    #[error(
        "{0} old rows of ai_metrics that another program inserted hold what cannot be counted, and are kept; mend or \
         delete them"
    )]
    Uncountable(i64),
    /// A table is in the way.
    #[error("{table}: {error}")]
    Table {
        /// The table.
        table: &'static str,
        /// What is in the way.
        error: StoreError,
    },
    /// The database is in the way.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// What a run did with a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableTally {
    /// The table.
    pub kind: Retained,
    /// The time before which its rows are old; `None` when they are kept for ever.
    pub cutoff: Option<DateTime<Utc>>,
    /// Rows that were deleted, or would be; `None` when there is no such table, or its rows are kept for ever.
    pub rows: Option<u64>,
    /// Old rows that are kept, because they cannot be counted.
    pub uncountable: i64,
    /// The most of them that went in one transaction.
    pub most_together: u64,
}

/// What a run did with each table, in order.
pub type Tally = Vec<TableTally>;

/// How a run is made.
#[derive(Debug)]
pub struct Run<'r> {
    /// Where rows are kept.
    pub store: &'r Store,
    /// How long they are kept.
    pub policy: Policy,
    /// The time.
    pub clock: &'r Clock,
    /// Who has it made.
    pub by: Actor,
    /// Whether it only counts.
    pub dry: bool,
    /// Cancelled when it is to stop.
    pub stop: &'r CancellationToken,
    /// Where it is counted.
    pub metrics: &'r RetentionMetrics,
}

impl Run<'_> {
    /// Makes the run, unless `is_due` finds, once nobody else can begin one, that there is nothing to do; then it is `None`.
    /// The audit trail tells of it, however it ended.
    pub async fn make(
        &self,
        is_due: impl FnOnce(&RetentionRecord) -> bool,
    ) -> Result<Option<Tally>, Failure> {
        let now = self.clock.now();
        let lock = self.store.lock_retention().await?.ok_or(Failure::Busy)?;
        let record = self.store.await_retention(now).await?;
        let made = if is_due(&record) { self.make_alone(now).await.map(Some) } else { Ok(None) };
        lock.release().await;
        made
    }

    async fn make_alone(&self, now: DateTime<Utc>) -> Result<Tally, Failure> {
        if self.dry {
            let tally = self.go_through(now, &mut Tally::new()).await?;
            let entry = self.by.entry(Action::RetentionDryRun).with("rows", rows_of(&tally));
            self.store.append_audit(self.clock.now(), &entry).await?;
            return Ok(tally);
        }
        if let Some(left) = self.store.begin_retention(now).await? {
            let entry = self.entry("interrupted", rows_of_counts(left));
            self.store.note_retention(now, None, &entry).await?;
            self.store.begin_retention(now).await?;
        }
        let mut so_far = Tally::new();
        let gone = self.go_through(now, &mut so_far).await;
        let (outcome, tally, done) = match &gone {
            Ok(tally) => ("done", tally, Some(now)),
            Err(Failure::Stopped) => ("interrupted", &so_far, None),
            Err(_) => ("failed", &so_far, None),
        };
        let entry = self.entry(outcome, rows_of(tally));
        let noted = self.store.note_retention(self.clock.now(), done, &entry).await;
        let tally = gone?;
        noted?;
        Ok(tally)
    }

    /// Goes through all tables. `so_far` is what was done with them, also when it fails; one that fails does not keep the
    /// others from their turn.
    async fn go_through(&self, now: DateTime<Utc>, so_far: &mut Tally) -> Result<Tally, Failure> {
        let mut failed = None;
        for kind in Retained::ALL {
            let cutoff = self.policy.cutoff(kind, now);
            let mut done = TableTally { kind, cutoff, rows: None, uncountable: 0, most_together: 0 };
            let gone = match cutoff {
                Some(cutoff) => self.go_through_table(&mut done, cutoff, now).await,
                None => Ok(()),
            };
            so_far.push(done);
            match gone {
                Err(Failure::Store(error)) => {
                    failed.get_or_insert(Failure::Table { table: kind.table(), error });
                }
                other => other?,
            }
        }
        match (failed, so_far.iter().map(|done| done.uncountable).sum()) {
            (Some(failure), _) => Err(failure),
            (None, 0) => Ok(so_far.clone()),
            (None, kept) => Err(Failure::Uncountable(kept)),
        }
    }

    async fn go_through_table(
        &self,
        done: &mut TableTally,
        cutoff: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<(), Failure> {
        let Some(table) = self.store.plan(done.kind).await? else {
            if done.kind == Retained::Events {
                let what = "ai_metrics is no table, or has no created_at that holds times";
                return Err(StoreError::Unusable(what.to_owned()).into());
            }
            return Ok(());
        };
        done.rows = Some(0);
        if done.kind == Retained::Audit && !self.dry {
            return self.purge_audit(done, cutoff, now).await;
        }
        let mut pace = if self.store.is_file() { Pace::of_file() } else { Pace::of_server() };
        let mut from = table.range.start;
        while from < table.range.end {
            let window = pace.window(from, table.range.end);
            let rest =
                match self.go_through_window(Window::new(&table, &window, cutoff), &mut pace, now).await {
                    Ok(Some((Deleted { rows, took }, uncountable))) => {
                        from = window.end;
                        done.uncountable += uncountable;
                        self.note(done, rows);
                        pace.rest_after(took)
                    }
                    Ok(None) => continue,
                    Err(error) => {
                        let passing = !is_of_a_row(&error) && !matches!(error, StoreError::Unusable(_));
                        pace.rest_after_failure().filter(|_| passing).ok_or(error)?
                    }
                };
            self.stop.run_until_cancelled(tokio::time::sleep(rest)).await.ok_or(Failure::Stopped)?;
        }
        Ok(())
    }

    /// Gives what was deleted, and how many rows cannot be counted; `None` when the window holds more than are deleted
    /// together, and is to be taken in parts.
    async fn go_through_window(
        &self,
        window: Window<'_>,
        pace: &mut Pace,
        now: DateTime<Utc>,
    ) -> Result<Option<(Deleted, i64)>, StoreError> {
        let begun = Instant::now();
        let seen = self.store.look_at(window).await?;
        if self.dry || seen.old == 0 && seen.undated == 0 {
            return Ok(Some((Deleted { rows: seen.old.unsigned_abs(), took: begun.elapsed() }, 0)));
        }
        if pace.narrow(seen.old) {
            return Ok(None);
        }
        self.delete(window, now, seen).await.map(Some)
    }

    /// Deletes what is old. What cannot be counted stays, so that no sum is wrong.
    async fn delete(
        &self,
        window: Window<'_>,
        now: DateTime<Utc>,
        seen: Seen,
    ) -> Result<(Deleted, i64), StoreError> {
        match self.store.delete_old(window, now, seen, false).await {
            Err(error) if seen.uncounted > 0 && is_of_a_row(&error) => {
                let deleted = self.store.delete_old(window, now, seen, true).await?;
                tracing::debug!("old rows cannot be counted: {error}");
                Ok((deleted, seen.uncounted))
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
        while let Some(purged) = self.store.purge_audit(cutoff, now, &self.by).await? {
            self.note(done, purged.rows);
            if self.stop.is_cancelled() {
                return Err(Failure::Stopped);
            }
        }
        Ok(())
    }

    fn note(&self, done: &mut TableTally, rows: u64) {
        done.rows = Some(done.rows.unwrap_or(0) + rows);
        done.most_together = done.most_together.max(rows);
        if !self.dry {
            self.metrics.deleted(done.kind.table(), rows);
        }
    }

    fn entry(&self, outcome: &str, rows: Value) -> Entry {
        let days = Retained::ALL
            .into_iter()
            .filter_map(|kind| Some((kind.table().to_owned(), self.policy.days(kind)?.into())));
        let days = Value::Object(days.collect());
        self.by.entry(Action::RetentionRun).with("outcome", outcome).with("days", days).with("rows", rows)
    }
}

/// Whether an error is about what a row holds.
const fn is_of_a_row(error: &StoreError) -> bool {
    matches!(error, StoreError::Unreadable(_)) || error.is_refusal()
}

fn rows_of(tally: &Tally) -> Value {
    let rows = tally.iter().filter_map(|done| Some((done.kind.table().to_owned(), done.rows?.into())));
    Value::Object(rows.collect())
}

fn rows_of_counts(counts: RetentionCounts) -> Value {
    Value::Object(counts.into_iter().map(|(table, rows)| (table, rows.into())).collect())
}
