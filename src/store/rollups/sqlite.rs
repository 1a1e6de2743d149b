//! Adds a rollup to its three tables on SQLite.

use sqlx::SqliteConnection;

use super::{add_to_daily, add_to_latency, add_to_totals, bind_keys, bind_sums, sum_columns};
use crate::rollup::{Key, Rollup, Sums};
use crate::store::bulk_insert::{BulkInsert, SqliteQuery};

/// A connection that takes rollups, inside a transaction.
pub(in crate::store) trait AddRollup {
    /// Adds `rollup` to what the tables hold, if anything is in it; gives the rows in which it is pending, if it is.
    async fn add_rollup(&mut self, rollup: &Rollup) -> Result<Vec<i64>, sqlx::Error>;
}

/// Binds a key and its sums.
fn bound<'q>(query: SqliteQuery<'q>, key: &'q Key, sums: &'q Sums) -> SqliteQuery<'q> {
    macro_rules! of_key {
        (|$key:ident| $value:expr) => {{
            let $key = key;
            $value
        }};
    }
    macro_rules! of_sums {
        (|$sums:ident| $value:expr) => {{
            let $sums = sums;
            $value
        }};
    }
    let query = bind_keys!(query, of_key);
    bind_sums!(query, of_sums, of_sums)
}

static DAILY: BulkInsert = BulkInsert::new(
    concat!(
        "insert into ai_rollup_daily (business_id, model_name, intent_detected, response_type, ",
        sum_columns!(),
        ", day)"
    ),
    "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    add_to_daily!(),
);

static TOTALS: BulkInsert = BulkInsert::new(
    concat!(
        "insert into ai_totals (business_id, model_name, intent_detected, response_type, ",
        sum_columns!(),
        ", last_success_at, last_success_rate)"
    ),
    "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    add_to_totals!(),
);

static LATENCY: BulkInsert = BulkInsert::new(
    "insert into ai_latency_daily (day, business_id, bucket, events)",
    "(?, ?, ?, ?)",
    add_to_latency!(),
);

impl AddRollup for SqliteConnection {
    async fn add_rollup(&mut self, rollup: &Rollup) -> Result<Vec<i64>, sqlx::Error> {
        let daily: Vec<_> = rollup.daily.iter().collect();
        DAILY.run(self, &daily, |query, ((day, key), sums)| bound(query, key, sums).bind(day)).await?;
        let totals: Vec<_> = rollup.totals().into_iter().collect();
        TOTALS
            .run(self, &totals, |query, (key, sums)| {
                let (at, rate) = sums.last_success.map(|last| (last.at_micros, last.rate)).unzip();
                bound(query, key, sums).bind(at).bind(rate)
            })
            .await?;
        let latency: Vec<_> = rollup.latency.iter().collect();
        LATENCY
            .run(self, &latency, |query, ((day, business_id, bucket), events)| {
                query.bind(day).bind(business_id).bind(bucket).bind(*events)
            })
            .await?;
        Ok(Vec::new())
    }
}
