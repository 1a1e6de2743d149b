//! Looks at one window of a table, and deletes what is old in it.

use std::ops::Range;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, FromRow};

use super::super::dialect::{self, Dialect};
use super::super::rollups::AddRollup;
use super::super::{Store, StoreError};
use super::{Retained, STEP_LIMIT, TablePlan};
use crate::event::Event;
use crate::rollup::Rollup;
use crate::store::events::foreign::ForeignRow;

/// What is in a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromRow)]
pub struct Seen {
    /// Rows that are old.
    pub old: i64,
    /// Those of them that no rollup holds yet.
    pub uncounted: i64,
    /// Rows of which nobody can tell how old they are.
    pub undated: i64,
}

/// What was deleted of a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deleted {
    /// How many rows.
    pub rows: u64,
    /// How long the transaction took, without the time for which it waited to begin.
    pub took: Duration,
}

/// A window of a table, and what is old in it.
#[derive(Debug, Clone, Copy)]
pub struct Window<'s> {
    /// The table.
    pub plan: &'s TablePlan,
    /// From here,
    pub from: i64,
    /// to before here.
    pub to: i64,
    /// A row from before this is old.
    pub cutoff: DateTime<Utc>,
}

impl<'s> Window<'s> {
    /// A part of what is gone through.
    #[must_use]
    pub const fn new(plan: &'s TablePlan, range: &Range<i64>, cutoff: DateTime<Utc>) -> Self {
        Self { plan, from: range.start, to: range.end, cutoff }
    }
}

/// A statement with the window bound.
macro_rules! bound {
    ($query:expr, $window:expr) => {
        $query.bind($window.from).bind($window.to).bind($window.cutoff)
    };
}

impl Store {
    /// Counts what is old in a window. It locks nothing.
    pub async fn look_at(&self, window: Window<'_>) -> Result<Seen, StoreError> {
        let sql = self.look_sql(window.plan);
        on!(&self.sweep, STEP_LIMIT, |conn| {
            bound!(sqlx::query_as(AssertSqlSafe(sql)), window).fetch_one(conn).await
        })
    }

    /// Deletes what is old in a window, and notes how many rows it were; all or nothing. Rows that no rollup holds yet are
    /// counted with that, unless `leave_uncounted`. Rows of unknown age are dated `now`, so that their time begins.
    pub async fn delete_old(
        &self,
        window: Window<'_>,
        now: DateTime<Utc>,
        seen: Seen,
        leave_uncounted: bool,
    ) -> Result<Deleted, StoreError> {
        const NOTE: &str = "insert into mlops_retention_deleted (table_name, deleted) values ($1, $2)
            on conflict (table_name) do update set deleted = mlops_retention_deleted.deleted + excluded.deleted";
        let TablePlan { kind, undated, .. } = window.plan;
        let (delete, uncounted) = (self.delete_sql(window.plan), self.uncounted_sql(window.plan));
        let date = format!(
            "update {} as t set created_at = $4 where {} and {undated}",
            kind.table(),
            (self.sql().window)(*kind)
        );
        on!(&self.sweep, STEP_LIMIT, |conn| {
            let mut tx = dialect::begin(conn).await?;
            let begun = Instant::now();
            let mut deleted = 0;
            if seen.uncounted > 0 && !leave_uncounted {
                let sql = format!("{uncounted} returning {}", foreign_values(&tx));
                let rows: Vec<ForeignRow> =
                    bound!(sqlx::query_as(AssertSqlSafe(sql)), window).fetch_all(&mut *tx).await?;
                deleted += rows.len() as u64;
                let events: Vec<Event> = rows.into_iter().map(|row| row.into_event(now)).collect();
                tx.add_rollup(&Rollup::of(&events, self.zone)).await?;
            }
            deleted +=
                bound!(sqlx::query(AssertSqlSafe(delete)), window).execute(&mut *tx).await?.rows_affected();
            if seen.undated > 0 {
                let date = bound!(sqlx::query(AssertSqlSafe(date)), window).bind(now.naive_utc());
                date.execute(&mut *tx).await?;
            }
            let note = sqlx::query(NOTE).bind(kind.table()).bind(deleted.cast_signed());
            note.execute(&mut *tx).await?;
            tx.commit().await?;
            Ok(Deleted { rows: deleted, took: begun.elapsed() })
        })
    }

    fn look_sql(&self, TablePlan { kind, old, undated, .. }: &TablePlan) -> String {
        let uncounted = uncounted(*kind);
        format!(
            "select count(*) filter (where ({old}) is true) as old,
                count(*) filter (where ({old} and {uncounted}) is true) as uncounted,
                count(*) filter (where {undated}) as undated
            from {} as t where {}",
            kind.table(),
            (self.sql().window)(*kind)
        )
    }

    fn delete_sql(&self, TablePlan { kind, old, .. }: &TablePlan) -> String {
        let (table, window, uncounted) = (kind.table(), (self.sql().window)(*kind), uncounted(*kind));
        format!("delete from {table} as t where {window} and ({old} and not {uncounted}) is true")
    }

    /// Rows that another session is just counting are left to it.
    fn uncounted_sql(&self, TablePlan { kind, old, .. }: &TablePlan) -> String {
        let (table, window, skip_locked) = (kind.table(), (self.sql().window)(*kind), self.sql().skip_locked);
        format!(
            "delete from {table} as t where {window} and t.id in (
                select t.id from {table} as t where {window} and ({old} and t.event_id is null) is true {skip_locked})"
        )
    }
}

/// The condition of a row of `t` that no rollup holds yet.
const fn uncounted(kind: Retained) -> &'static str {
    match kind {
        Retained::Events => "(t.event_id is null)",
        _ => "false",
    }
}

/// What a row that no rollup holds yet is, in the types of an event.
fn foreign_values<DB: Dialect>(_: &sqlx::Transaction<'_, DB>) -> &'static str {
    DB::FOREIGN_VALUES
}
