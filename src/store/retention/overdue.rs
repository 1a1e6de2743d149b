//! How much there is that should be deleted by now, at a cost that does not grow with the table.

use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;

use super::super::{Db, READ_LIMIT, Store, StoreError};
use super::TablePlan;
use super::windows::Window;

/// Pages of Postgres that are looked at; of a larger table, a random sample of as many.
const SAMPLED_PAGES: i64 = 1_000;

/// Rows of SQLite that are looked at: the oldest, for row numbers rise with time.
const FIRST_ROWS: i64 = 20_000;

impl Store {
    /// How many rows are from before `cutoff`: exactly for a small table, an estimate for a large one on Postgres, and at
    /// least that many on SQLite.
    pub async fn overdue(&self, table: &TablePlan, cutoff: DateTime<Utc>) -> Result<i64, StoreError> {
        let (first, end) = (table.range.start, table.range.end);
        let Db::Postgres(db) = &self.sweep else {
            let first_rows = first..end.min(first.saturating_add(FIRST_ROWS));
            return Ok(self.look_at(Window::new(table, &first_rows, cutoff)).await?.old);
        };
        if end <= SAMPLED_PAGES {
            return Ok(self.look_at(Window::new(table, &(first..end), cutoff)).await?.old);
        }
        #[expect(clippy::cast_precision_loss, reason = "pages are fewer than 2^53")]
        let share = SAMPLED_PAGES as f64 / end as f64;
        let sql = format!(
            "select cast(round(count(*) filter (where ({}) is true) / $1) as bigint)
            from {} as t tablesample system ($2) where $3 is not null",
            table.old,
            table.kind.table()
        );
        on!(@run db, READ_LIMIT, conn, {
            let query = sqlx::query_scalar(AssertSqlSafe(sql)).bind(share).bind(share * 100.0).bind(cutoff);
            query.fetch_one(conn).await
        })
    }
}
