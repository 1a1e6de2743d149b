//! Counts and deletes the old rows of one window of a table.

use std::ops::Range;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;

use super::super::dialect::{self, Dialect};
use super::super::rollups::AddRollup;
use super::super::{Store, StoreError};
use super::{Retained, STEP_LIMIT, TablePlan};
use crate::event::Event;
use crate::rollup::Rollup;
use crate::store::events::foreign::ForeignRow;
use crate::store::privacy::{Rows, json_list};

/// Row counts of a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WindowCounts {
    /// Old rows.
    pub old: i64,
    /// Old rows that no rollup includes yet.
    pub uncounted: i64,
    /// Rows without a valid time.
    pub undated: i64,
    /// Rows dated after the horizon, or never: they do not become old in their time.
    pub ahead: i64,
}

from_row!(WindowCounts { old, uncounted, undated, ahead });

/// The result of deleting the old rows of a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deleted {
    /// The number of rows.
    pub rows: u64,
    /// How long the transaction took, without waiting for its start.
    pub took: Duration,
}

/// A window of a table, and the cutoff for its rows.
#[derive(Debug, Clone, Copy)]
pub struct Window<'s> {
    /// The table.
    pub plan: &'s TablePlan,
    /// The start of the window, inclusive.
    pub from: i64,
    /// The end of the window, exclusive.
    pub to: i64,
    /// The time before which a row is old.
    pub cutoff: DateTime<Utc>,
    /// The time after which a row is dated ahead.
    pub horizon: DateTime<Utc>,
}

impl<'s> Window<'s> {
    /// Creates a window of the given range.
    #[must_use]
    pub const fn new(
        plan: &'s TablePlan,
        range: &Range<i64>,
        cutoff: DateTime<Utc>,
        horizon: DateTime<Utc>,
    ) -> Self {
        Self { plan, from: range.start, to: range.end, cutoff, horizon }
    }
}

/// Adds to the number of rows that the run under way has deleted from a table.
pub(super) const RECORD: &str = "insert into mlops_retention_deleted (table_name, deleted) values ($1, $2)
    on conflict (table_name) do update set deleted = mlops_retention_deleted.deleted + excluded.deleted";

/// Binds the window to a statement.
macro_rules! bound {
    ($query:expr, $window:expr) => {
        $query.bind($window.from).bind($window.to).bind($window.cutoff)
    };
}

impl Store {
    /// Counts the old rows of a window, without locking them.
    pub async fn count_window(&self, window: Window<'_>) -> Result<WindowCounts, StoreError> {
        let sql = self.count_window_sql(window.plan);
        on!(&self.sweep, STEP_LIMIT, |conn| {
            bound!(sqlx::query_as(AssertSqlSafe(sql)), window).bind(window.horizon).fetch_one(conn).await
        })
    }

    /// Deletes the old rows of a window and records their number, in one transaction. Rows that no rollup
    /// includes yet are counted in it or, with `leave_uncounted`, left alone. Rows without a valid time are
    /// dated `now`, which starts their retention period. What was read of appointments that go, or lose their conversation,
    /// counts on.
    pub async fn delete_old(
        &self,
        window: Window<'_>,
        now: DateTime<Utc>,
        counts: WindowCounts,
        leave_uncounted: bool,
    ) -> Result<Deleted, StoreError> {
        let TablePlan { kind, undated, settles, .. } = window.plan;
        let within = window.plan.window(self.sql());
        let (delete, uncounted) = (self.delete_sql(window.plan), self.uncounted_sql(window.plan));
        let date = format!("update {} as t set created_at = $4 where {within} and {undated}", kind.table());
        on!(&self.sweep, STEP_LIMIT, |conn| {
            let mut tx = dialect::begin(conn).await?;
            let begun = Instant::now();
            let mut deleted = 0;
            if counts.uncounted > 0 && !leave_uncounted {
                let sql = format!("{uncounted} returning {}", foreign_values(&tx));
                let rows: Vec<ForeignRow> =
                    bound!(sqlx::query_as(AssertSqlSafe(sql)), window).fetch_all(&mut *tx).await?;
                deleted += rows.len() as u64;
                let events: Vec<Event> = rows.into_iter().map(|row| row.into_event(now).0).collect();
                tx.add_rollup(&Rollup::of(&events, &self.profiles.current())).await?;
            }
            deleted += if let Some(link) = settles {
                let delete = AssertSqlSafe(format!("{delete} returning cast(id as text)"));
                let ids: Vec<String> = bound!(sqlx::query_scalar(delete), window).fetch_all(&mut *tx).await?;
                settle(&mut *tx, link, &ids).await?;
                ids.len() as u64
            } else {
                bound!(sqlx::query(AssertSqlSafe(delete)), window).execute(&mut *tx).await?.rows_affected()
            };
            if counts.undated > 0 {
                let date = bound!(sqlx::query(AssertSqlSafe(date)), window).bind(now.naive_utc());
                date.execute(&mut *tx).await?;
            }
            let record = sqlx::query(RECORD).bind(kind.table()).bind(deleted.cast_signed());
            record.execute(&mut *tx).await?;
            tx.commit().await?;
            Ok(Deleted { rows: deleted, took: begun.elapsed() })
        })
    }

    fn count_window_sql(&self, plan: &TablePlan) -> String {
        let TablePlan { kind, old, undated, ahead, .. } = plan;
        let uncounted = uncounted(*kind);
        format!(
            "select count(*) filter (where ({old}) is true) as old,
                count(*) filter (where ({old} and {uncounted}) is true) as uncounted,
                count(*) filter (where {undated}) as undated,
                count(*) filter (where ({ahead}) is true) as ahead
            from {} as t where {}",
            kind.table(),
            plan.window(self.sql())
        )
    }

    fn delete_sql(&self, plan: &TablePlan) -> String {
        let (table, window, uncounted) = (plan.kind.table(), plan.window(self.sql()), uncounted(plan.kind));
        format!("delete from {table} as t where {window} and ({} and not {uncounted}) is true", plan.old)
    }

    /// Returns the statement that deletes uncounted old rows, except those that another session is counting.
    fn uncounted_sql(&self, plan: &TablePlan) -> String {
        let (table, window, skip_locked) =
            (plan.kind.table(), plan.window(self.sql()), self.sql().skip_locked);
        let old = &plan.old;
        format!(
            "delete from {table} as t where {window} and t.id in (
                select t.id from {table} as t where {window} and ({old} and t.event_id is null) is true {skip_locked})"
        )
    }
}

/// Has what was read of appointments count on, of those whose `link` is one of `ids`: the rows of the app are gone.
async fn settle<C: Rows>(conn: &mut C, link: &str, ids: &[String]) -> Result<(), sqlx::Error> {
    if ids.is_empty() {
        return Ok(());
    }
    let sql = format!("update mlops_book set settled = true where not settled and {link} {}", C::any_text(1));
    conn.run(sql, &[json_list(ids)]).await.map(drop)
}

/// Returns the condition of a row of `t` that no rollup includes yet.
const fn uncounted(kind: Retained) -> &'static str {
    match kind {
        Retained::Events => "(t.event_id is null)",
        Retained::Facts
        | Retained::Outcomes
        | Retained::Messages
        | Retained::ChatMessages
        | Retained::Conversations
        | Retained::Appointments
        | Retained::Book
        | Retained::Requests
        | Retained::Consents
        | Retained::CountedIds
        | Retained::Tombstones
        | Retained::Audit => "false",
    }
}

/// Returns the columns of an uncounted row, in the types of an event.
fn foreign_values<DB: Dialect>(_: &sqlx::Transaction<'_, DB>) -> &'static str {
    DB::FOREIGN_VALUES
}
