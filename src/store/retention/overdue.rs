//! Counts overdue rows at a cost that does not grow with the table.

use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;

use super::super::{Db, READ_LIMIT, Store, StoreError};
use super::TablePlan;
use super::windows::Window;

/// Pages read on Postgres; of a larger table, a random sample of this size.
const SAMPLED_PAGES: i64 = 1_000;

/// Rows read on SQLite: the oldest, since row ids increase with time.
const FIRST_ROWS: i64 = 20_000;

impl Store {
    /// Returns how many rows of a table or partition are from before `cutoff`. The number is exact for a small table; for a large one
    /// it is an estimate on Postgres and a lower bound on SQLite.
    pub async fn overdue(&self, table: &TablePlan, cutoff: DateTime<Utc>) -> Result<i64, StoreError> {
        let (first, end) = (table.range.start, table.range.end);
        if table.leaf.as_ref().is_some_and(|leaf| leaf.is_after(cutoff)) {
            return Ok(0);
        }
        let Db::Postgres(db) = &self.sweep else {
            let first_rows = first..end.min(first.saturating_add(FIRST_ROWS));
            return Ok(self.count_window(Window::new(table, &first_rows, cutoff, cutoff)).await?.old);
        };
        if end <= SAMPLED_PAGES {
            return Ok(self.count_window(Window::new(table, &(first..end), cutoff, cutoff)).await?.old);
        }
        #[expect(clippy::cast_precision_loss, reason = "pages are fewer than 2^53")]
        let share = SAMPLED_PAGES as f64 / end as f64;
        let sql = format!(
            "select cast(round(count(*) filter (where ({}) is true) / $1) as bigint)
            from {} as t tablesample system ($2) where $3 is not null and {}",
            table.old,
            table.kind.table(),
            table.part()
        );
        on!(@run db, READ_LIMIT, conn, {
            let query = sqlx::query_scalar(AssertSqlSafe(sql)).bind(share).bind(share * 100.0).bind(cutoff);
            query.fetch_one(conn).await
        })
    }
}
