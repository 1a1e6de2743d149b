//! The rollup tables: adding to them, and reading the totals.

use sqlx::{FromRow, PgConnection, SqliteConnection};

use super::{READ_LIMIT, Store, StoreError};
use crate::rollup::{Key, LastSuccess, Rollup, Sums};

/// The columns of [`Sums`], in the order in which they are bound.
macro_rules! sum_columns {
    () => {
        "events, response_time_ms, within_100ms, within_500ms, within_1s, within_2s, within_5s, within_10s, \
         success_e4, tokens, prompt_tokens, completion_tokens, cost_micros, appointments_requested, \
         appointments_booked, handoffs"
    };
}
pub(super) use sum_columns;

/// The assignments that add an inserted row's sums to those of the row of `$table` that is there already.
macro_rules! add_sums {
    ($table:literal) => {
        $crate::store::rollups::add_sums!(@each $table: "response_time_ms", "within_100ms", "within_500ms",
            "within_1s", "within_2s", "within_5s", "within_10s", "success_e4", "tokens", "prompt_tokens",
            "completion_tokens", "cost_micros", "appointments_requested", "appointments_booked", "handoffs")
    };
    (@each $table:literal: $($column:literal),+) => {
        concat!("events = ", $table, ".events + excluded.events",
            $(", ", $column, " = ", $table, ".", $column, " + excluded.", $column),+)
    };
}
pub(super) use add_sums;

/// What follows the rows to be added to `ai_rollup_daily`.
macro_rules! add_to_daily {
    () => {
        concat!(
            " on conflict (business_id, day, model_name, intent_detected, response_type) do update set ",
            $crate::store::rollups::add_sums!("ai_rollup_daily")
        )
    };
}
pub(super) use add_to_daily;

/// What follows the rows to be added to `ai_totals`. A success rate replaces an older one only.
macro_rules! add_to_totals {
    () => {
        concat!(
            " on conflict (business_id, model_name, intent_detected, response_type) do update set ",
            $crate::store::rollups::add_sums!("ai_totals"),
            ", last_success_rate = case when excluded.last_success_at >= coalesce(ai_totals.last_success_at, 0)
                   then excluded.last_success_rate else ai_totals.last_success_rate end
             , last_success_at = case when excluded.last_success_at >= coalesce(ai_totals.last_success_at, 0)
                   then excluded.last_success_at else ai_totals.last_success_at end"
        )
    };
}
pub(super) use add_to_totals;

/// What follows the rows to be added to `ai_latency_daily`.
macro_rules! add_to_latency {
    () => {
        " on conflict (business_id, day, bucket) do update set events = ai_latency_daily.events + excluded.events"
    };
}
pub(super) use add_to_latency;

const ADD_TO_DAILY: &str = concat!(
    "insert into ai_rollup_daily (day, business_id, model_name, intent_detected, response_type, ",
    sum_columns!(),
    ") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)",
    add_to_daily!()
);

const ADD_TO_TOTALS: &str = concat!(
    "insert into ai_totals (business_id, model_name, intent_detected, response_type, ",
    sum_columns!(),
    ", last_success_at, last_success_rate)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)",
    add_to_totals!()
);

const ADD_TO_LATENCY: &str = concat!(
    "insert into ai_latency_daily (day, business_id, bucket, events) values ($1, $2, $3, $4)",
    add_to_latency!()
);

/// Binds a key and sums in the order of the columns.
macro_rules! bind_sums {
    ($query:expr, $key:expr, $sums:expr) => {{
        let Key { business_id, model_name, intent_detected, response_type } = $key;
        let query = $query.bind(business_id).bind(model_name).bind(intent_detected).bind(response_type);
        let mut query = query.bind($sums.events).bind($sums.response_time_ms);
        for events in $sums.within {
            query = query.bind(events);
        }
        query
            .bind($sums.success_e4)
            .bind($sums.tokens)
            .bind($sums.prompt_tokens)
            .bind($sums.completion_tokens)
            .bind($sums.cost_micros)
            .bind($sums.appointments_requested)
            .bind($sums.appointments_booked)
            .bind($sums.handoffs)
    }};
}

/// A connection in the transaction that a rollup is added in.
pub(super) enum Conn<'c> {
    Postgres(&'c mut PgConnection),
    Sqlite(&'c mut SqliteConnection),
}

impl<'c> From<&'c mut PgConnection> for Conn<'c> {
    fn from(conn: &'c mut PgConnection) -> Self {
        Self::Postgres(conn)
    }
}

impl<'c> From<&'c mut SqliteConnection> for Conn<'c> {
    fn from(conn: &'c mut SqliteConnection) -> Self {
        Self::Sqlite(conn)
    }
}

/// Runs a query on either connection.
macro_rules! execute {
    ($conn:expr, $query:expr) => {
        match $conn {
            Conn::Postgres(conn) => $query.execute(&mut **conn).await.map(drop)?,
            Conn::Sqlite(conn) => $query.execute(&mut **conn).await.map(drop)?,
        }
    };
}

/// Adds `rollup` to the three tables. Rows are visited in the order of their keys, so that two writers do not wait
/// for each other in a circle.
pub(super) async fn add(conn: impl Into<Conn<'_>>, rollup: &Rollup) -> Result<(), sqlx::Error> {
    let mut conn = conn.into();
    for ((day, key), sums) in &rollup.daily {
        execute!(&mut conn, bind_sums!(sqlx::query(ADD_TO_DAILY).bind(day), key, sums));
    }
    for (key, sums) in &rollup.totals() {
        let (at, rate) = sums.last_success.map(|last| (last.at_micros, last.rate)).unzip();
        execute!(&mut conn, bind_sums!(sqlx::query(ADD_TO_TOTALS), *key, sums).bind(at).bind(rate));
    }
    for ((day, business_id, bucket), events) in &rollup.latency {
        execute!(
            &mut conn,
            sqlx::query(ADD_TO_LATENCY).bind(day).bind(business_id).bind(bucket).bind(events)
        );
    }
    Ok(())
}

/// One row of `ai_totals`.
#[derive(Debug, Clone, PartialEq)]
pub struct TotalsRow {
    /// What the sums are kept apart by.
    pub key: Key,
    /// The sums over all time.
    pub sums: Sums,
}

/// A row of `ai_totals` as the database gives it.
#[derive(FromRow)]
struct RawTotals {
    business_id: String,
    model_name: String,
    intent_detected: String,
    response_type: String,
    events: i64,
    response_time_ms: i64,
    within_100ms: i64,
    within_500ms: i64,
    within_1s: i64,
    within_2s: i64,
    within_5s: i64,
    within_10s: i64,
    success_e4: i64,
    tokens: i64,
    prompt_tokens: i64,
    completion_tokens: i64,
    cost_micros: i64,
    appointments_requested: i64,
    appointments_booked: i64,
    handoffs: i64,
    last_success_at: Option<i64>,
    last_success_rate: Option<f64>,
}

impl From<RawTotals> for TotalsRow {
    fn from(row: RawTotals) -> Self {
        let last_success = row.last_success_at.zip(row.last_success_rate);
        let (business_id, model_name) = (row.business_id, row.model_name);
        let (intent_detected, response_type) = (row.intent_detected, row.response_type);
        Self {
            key: Key { business_id, model_name, intent_detected, response_type },
            sums: Sums {
                events: row.events,
                response_time_ms: row.response_time_ms,
                within: [
                    row.within_100ms,
                    row.within_500ms,
                    row.within_1s,
                    row.within_2s,
                    row.within_5s,
                    row.within_10s,
                ],
                success_e4: row.success_e4,
                tokens: row.tokens,
                prompt_tokens: row.prompt_tokens,
                completion_tokens: row.completion_tokens,
                cost_micros: row.cost_micros,
                appointments_requested: row.appointments_requested,
                appointments_booked: row.appointments_booked,
                handoffs: row.handoffs,
                last_success: last_success.map(|(at_micros, rate)| LastSuccess { at_micros, rate }),
            },
        }
    }
}

impl Store {
    /// All totals, in the order in which their keys were first seen.
    pub async fn totals(&self) -> Result<Vec<TotalsRow>, StoreError> {
        const SQL: &str = concat!(
            "select business_id, model_name, intent_detected, response_type, ",
            sum_columns!(),
            ", last_success_at, last_success_rate from ai_totals order by seq"
        );
        let rows = on!(&self.read, READ_LIMIT, |conn| {
            sqlx::query_as::<_, RawTotals>(SQL).fetch_all(conn).await
        })?;
        Ok(rows.into_iter().map(TotalsRow::from).collect())
    }
}
