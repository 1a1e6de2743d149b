//! Adds a rollup to its three tables: rows in arrays on Postgres, where each statement is a round trip, and one by one
//! on SQLite. Rows go in the order of their keys, so that two writers do not wait for each other in a circle.

use sqlx::{PgConnection, SqliteConnection};

use super::{add_to_daily, add_to_latency, add_to_totals, sum_columns};
use crate::rollup::{Key, Rollup, Sums};

/// A connection that takes rollups, inside a transaction.
pub(in crate::store) trait AddRollup {
    /// Adds `rollup` to what the tables hold.
    async fn add_rollup(&mut self, rollup: &Rollup) -> Result<(), sqlx::Error>;
}

/// `insert into` a table with a key and sums, from the rows that `$rows` gives.
macro_rules! insert_sums {
    (daily, $rows:literal) => {
        concat!(
            "insert into ai_rollup_daily (business_id, model_name, intent_detected, response_type, ",
            sum_columns!(),
            ", day) ",
            $rows,
            add_to_daily!()
        )
    };
    (totals, $rows:literal) => {
        concat!(
            "insert into ai_totals (business_id, model_name, intent_detected, response_type, ",
            sum_columns!(),
            ", last_success_at, last_success_rate) ",
            $rows,
            add_to_totals!()
        )
    };
    (latency, $rows:literal) => {
        concat!("insert into ai_latency_daily (day, business_id, bucket, events) ", $rows, add_to_latency!())
    };
}

/// Binds keys and sums in the order of the columns; `$column` makes a parameter of what is read from each row.
macro_rules! bind_sums {
    ($query:expr, $column:ident) => {
        $query
            .bind($column!(|key, _sums| key.business_id.as_str()))
            .bind($column!(|key, _sums| key.model_name.as_str()))
            .bind($column!(|key, _sums| key.intent_detected.as_str()))
            .bind($column!(|key, _sums| key.response_type.as_str()))
            .bind($column!(|_key, sums| sums.events))
            .bind($column!(|_key, sums| sums.response_time_ms))
            .bind($column!(|_key, sums| sums.within[0]))
            .bind($column!(|_key, sums| sums.within[1]))
            .bind($column!(|_key, sums| sums.within[2]))
            .bind($column!(|_key, sums| sums.within[3]))
            .bind($column!(|_key, sums| sums.within[4]))
            .bind($column!(|_key, sums| sums.within[5]))
            .bind($column!(|_key, sums| sums.success_e4))
            .bind($column!(|_key, sums| sums.tokens))
            .bind($column!(|_key, sums| sums.prompt_tokens))
            .bind($column!(|_key, sums| sums.completion_tokens))
            .bind($column!(|_key, sums| sums.cost_micros))
            .bind($column!(|_key, sums| sums.appointments_requested))
            .bind($column!(|_key, sums| sums.appointments_booked))
            .bind($column!(|_key, sums| sums.handoffs))
    };
}

/// When the newest success rate came, and what it is.
fn last_success(sums: &Sums) -> (Option<i64>, Option<f64>) {
    sums.last_success.map(|last| (last.at_micros, last.rate)).unzip()
}

impl AddRollup for PgConnection {
    async fn add_rollup(&mut self, rollup: &Rollup) -> Result<(), sqlx::Error> {
        const DAILY: &str = insert_sums!(
            daily,
            "select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[],
                $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[],
                $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[],
                $20::bigint[], $21::date[])"
        );
        const TOTALS: &str = insert_sums!(
            totals,
            "select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[],
                $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[],
                $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[],
                $20::bigint[], $21::bigint[], $22::float8[])"
        );
        const LATENCY: &str = insert_sums!(
            latency,
            "select * from unnest($1::date[], $2::text[], $3::smallint[], $4::bigint[])"
        );

        let rows: Vec<(&Key, &Sums)> = rollup.daily.iter().map(|((_, key), sums)| (key, sums)).collect();
        macro_rules! column {
            (|$key:ident, $sums:ident| $value:expr) => {
                rows.iter().map(|($key, $sums)| $value).collect::<Vec<_>>()
            };
        }
        let days: Vec<_> = rollup.daily.keys().map(|(day, _)| *day).collect();
        bind_sums!(sqlx::query(DAILY), column).bind(days).execute(&mut *self).await?;

        let totals = rollup.totals();
        let rows: Vec<(&Key, &Sums)> = totals.iter().map(|(key, sums)| (*key, sums)).collect();
        macro_rules! column {
            (|$key:ident, $sums:ident| $value:expr) => {
                rows.iter().map(|($key, $sums)| $value).collect::<Vec<_>>()
            };
        }
        let (at, rate): (Vec<_>, Vec<_>) = totals.values().map(last_success).unzip();
        bind_sums!(sqlx::query(TOTALS), column).bind(at).bind(rate).execute(&mut *self).await?;

        sqlx::query(LATENCY)
            .bind(rollup.latency.keys().map(|(day, ..)| *day).collect::<Vec<_>>())
            .bind(rollup.latency.keys().map(|(_, business_id, _)| business_id.as_str()).collect::<Vec<_>>())
            .bind(rollup.latency.keys().map(|(.., bucket)| *bucket).collect::<Vec<_>>())
            .bind(rollup.latency.values().copied().collect::<Vec<_>>())
            .execute(self)
            .await
            .map(drop)
    }
}

impl AddRollup for SqliteConnection {
    async fn add_rollup(&mut self, rollup: &Rollup) -> Result<(), sqlx::Error> {
        const DAILY: &str = insert_sums!(
            daily,
            "values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)"
        );
        const TOTALS: &str = insert_sums!(
            totals,
            "values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)"
        );
        const LATENCY: &str = insert_sums!(latency, "values ($1, $2, $3, $4)");

        for ((day, key), sums) in &rollup.daily {
            macro_rules! column {
                (|$key:ident, $sums:ident| $value:expr) => {{
                    let ($key, $sums) = (key, sums);
                    $value
                }};
            }
            bind_sums!(sqlx::query(DAILY), column).bind(day).execute(&mut *self).await?;
        }
        for (key, sums) in &rollup.totals() {
            macro_rules! column {
                (|$key:ident, $sums:ident| $value:expr) => {{
                    let ($key, $sums) = (key, sums);
                    $value
                }};
            }
            let (at, rate) = last_success(sums);
            bind_sums!(sqlx::query(TOTALS), column).bind(at).bind(rate).execute(&mut *self).await?;
        }
        for ((day, business_id, bucket), events) in &rollup.latency {
            let row = sqlx::query(LATENCY).bind(day).bind(business_id).bind(bucket).bind(events);
            row.execute(&mut *self).await?;
        }
        Ok(())
    }
}
