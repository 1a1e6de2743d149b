//! Drops the partition of a month whose every row is old: what it takes does not depend on the number of its rows, but for their ids.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::AssertSqlSafe;

use super::windows::RECORD;
use super::{Retained, STEP_LIMIT, TablePlan, Window};
use crate::store::partitions::Leaf;
use crate::store::{Db, Store, StoreError, dialect};

impl TablePlan {
    /// Returns the first day of the month that it is the partition of, if all its rows are from before `cutoff`.
    #[must_use]
    pub fn past_month(&self, cutoff: DateTime<Utc>) -> Option<NaiveDate> {
        self.leaf.as_ref().filter(|leaf| leaf.is_before(cutoff)).and_then(Leaf::month)
    }
}

impl Store {
    /// Returns whether the partition of a month that is over may be dropped: the role has the right to, and no row is still to be
    /// counted or digested.
    pub async fn may_drop(&self, plan: &TablePlan) -> Result<bool, StoreError> {
        let Db::Postgres(db) = &self.sweep else { return Ok(false) };
        let sql = format!(
            "select has_function_privilege('mlops_drop_event_month(date, timestamptz)', 'execute')
                and not exists (select from ai_metrics t where {part} and t.event_id is null)
                and not exists (select from ai_metrics t where {part} and t.id = any(array(select unnest(event_rows) from mlops_undigested)))
                and not coalesce((select min(t.id) from ai_metrics t where {part}) < (select below from mlops_rebuild), false)",
            part = plan.part()
        );
        on!(@run db, STEP_LIMIT, conn, sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(conn).await)
    }

    /// Removes the ids of the events in a window of the partition of `month`, before it is dropped. Returns the number of its rows in
    /// the window.
    pub async fn forget_ids(&self, window: Window<'_>, month: NaiveDate) -> Result<u64, StoreError> {
        let Db::Postgres(db) = &self.sweep else { return Ok(0) };
        // An event that was sent again after its time has a row, and an id, of another month.
        let sql = format!(
            "with part as materialized (
                select event_id, cast(business_id as text) as business_id from ai_metrics t where {}
            ), gone as (
                delete from mlops_event_ids k using part p
                where k.event_id = p.event_id and k.business_id = p.business_id and k.month = $3
            ) select count(*) from part",
            window.plan.window(self.sql())
        );
        let rows: i64 = on!(@run db, STEP_LIMIT, conn, {
            let query = sqlx::query_scalar(AssertSqlSafe(sql)).bind(window.from).bind(window.to).bind(month);
            query.fetch_one(conn).await
        })?;
        Ok(rows.unsigned_abs())
    }

    /// Drops the partition of `month`, which has `rows`, and records their number, in one transaction. Returns whether it did: not if
    /// rows turned up that are still to be counted or digested.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if another session holds a lock on the table for longer than a second.
    pub async fn drop_month(
        &self,
        month: NaiveDate,
        cutoff: DateTime<Utc>,
        rows: u64,
    ) -> Result<bool, StoreError> {
        const DROP: &str = "select mlops_drop_event_month($1, $2)";
        let Db::Postgres(db) = &self.sweep else { return Ok(false) };
        on!(@run db, STEP_LIMIT, conn, {
            let mut tx = dialect::begin(conn).await?;
            let is_gone: bool = sqlx::query_scalar(DROP).bind(month).bind(cutoff).fetch_one(&mut *tx).await?;
            if is_gone {
                let record = sqlx::query(RECORD).bind(Retained::Events.table()).bind(rows.cast_signed());
                record.execute(&mut *tx).await?;
            }
            tx.commit().await?;
            Ok(is_gone)
        })
    }
}
