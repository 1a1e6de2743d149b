//! Adds a rollup to its three tables on SQLite, row by row.

use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Sqlite, SqliteConnection};

use super::{add_to_daily, add_to_latency, add_to_totals, bind_keys, bind_sums, sum_columns};
use crate::rollup::{Key, Rollup, Sums};

/// A connection that takes rollups, inside a transaction.
pub(in crate::store) trait AddRollup {
    /// Adds `rollup` to what the tables hold.
    async fn add_rollup(&mut self, rollup: &Rollup) -> Result<(), sqlx::Error>;
}

/// A statement for one row, its key and sums bound.
fn bound<'q>(sql: &'static str, key: &'q Key, sums: &'q Sums) -> Query<'q, Sqlite, SqliteArguments> {
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
    let query = bind_keys!(sqlx::query(sql), of_key);
    bind_sums!(query, of_sums, of_sums)
}

impl AddRollup for SqliteConnection {
    async fn add_rollup(&mut self, rollup: &Rollup) -> Result<(), sqlx::Error> {
        const DAILY: &str = concat!(
            "insert into ai_rollup_daily (business_id, model_name, intent_detected, response_type, ",
            sum_columns!(),
            ", day) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)",
            add_to_daily!()
        );
        const TOTALS: &str = concat!(
            "insert into ai_totals (business_id, model_name, intent_detected, response_type, ",
            sum_columns!(),
            ", last_success_at, last_success_rate)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)",
            add_to_totals!()
        );
        const LATENCY: &str = concat!(
            "insert into ai_latency_daily (day, business_id, bucket, events) values ($1, $2, $3, $4)",
            add_to_latency!()
        );

        for ((day, key), sums) in &rollup.daily {
            bound(DAILY, key, sums).bind(day).execute(&mut *self).await?;
        }
        for (key, sums) in &rollup.totals() {
            let (at, rate) = sums.last_success.map(|last| (last.at_micros, last.rate)).unzip();
            bound(TOTALS, key, sums).bind(at).bind(rate).execute(&mut *self).await?;
        }
        for ((day, business_id, bucket), events) in &rollup.latency {
            let row = sqlx::query(LATENCY).bind(day).bind(business_id).bind(bucket).bind(events);
            row.execute(&mut *self).await?;
        }
        Ok(())
    }
}
