//! The rollup tables: adding to them, and reading the totals.

pub(in crate::store) mod analytics;
mod labels;
mod merge;
pub(in crate::store) mod pending;
mod sqlite;

pub(super) use sqlite::AddRollup;

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use sqlx::FromRow;

use super::rollups::pending::ReadPending as _;
use super::{CountedRollup, Store, StoreError, dialect};
use crate::rollup::{Key, LastSuccess, Sums};

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

/// Binds keys, in the order of the columns; `$column` makes a parameter of what is read from a key.
macro_rules! bind_keys {
    ($query:expr, $column:ident) => {
        $query
            .bind($column!(|key| key.business_id.as_str()))
            .bind($column!(|key| key.model_name.as_str()))
            .bind($column!(|key| key.intent_detected.as_str()))
            .bind($column!(|key| key.response_type.as_str()))
    };
}
pub(super) use bind_keys;

/// Binds sums, in the order of the columns; `$count` makes a parameter of a number of events, `$sum` of any other.
macro_rules! bind_sums {
    ($query:expr, $count:ident, $sum:ident) => {
        $query
            .bind($count!(|sums| sums.events))
            .bind($sum!(|sums| sums.response_time_ms))
            .bind($count!(|sums| sums.within[0]))
            .bind($count!(|sums| sums.within[1]))
            .bind($count!(|sums| sums.within[2]))
            .bind($count!(|sums| sums.within[3]))
            .bind($count!(|sums| sums.within[4]))
            .bind($count!(|sums| sums.within[5]))
            .bind($sum!(|sums| sums.success_e4))
            .bind($sum!(|sums| sums.tokens))
            .bind($sum!(|sums| sums.prompt_tokens))
            .bind($sum!(|sums| sums.completion_tokens))
            .bind($sum!(|sums| sums.cost_micros))
            .bind($count!(|sums| sums.appointments_requested))
            .bind($count!(|sums| sums.appointments_booked))
            .bind($count!(|sums| sums.handoffs))
    };
}
pub(super) use bind_sums;

/// How long the totals may take to read, which are as many rows as there are keys.
const TOTALS_LIMIT: Duration = Duration::from_secs(10);

/// The columns of `ai_totals`.
macro_rules! totals_columns {
    () => {
        concat!(
            "business_id, model_name, intent_detected, response_type, ",
            $crate::store::rollups::sum_columns!(),
            ", last_success_at, last_success_rate"
        )
    };
}
pub(super) use totals_columns;

/// A row of `ai_totals` as the database gives it.
#[derive(FromRow)]
pub(super) struct RawTotals {
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

impl From<RawTotals> for (Key, Sums) {
    fn from(row: RawTotals) -> Self {
        let last_success = row.last_success_at.zip(row.last_success_rate);
        let (business_id, model_name) = (row.business_id, row.model_name);
        let (intent_detected, response_type) = (row.intent_detected, row.response_type);
        let key = Key { business_id, model_name, intent_detected, response_type };
        let sums = Sums {
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
        };
        (key, sums)
    }
}

/// Gives rows of totals to `each`.
pub(super) async fn give_each(
    mut rows: BoxStream<'_, Result<RawTotals, sqlx::Error>>,
    each: &mut impl FnMut(&Key, &Sums),
) -> Result<(), sqlx::Error> {
    while let Some(row) = rows.try_next().await? {
        let (key, sums) = row.into();
        each(&key, &sums);
    }
    Ok(())
}

impl Store {
    /// Gives all totals to `each`, as they are when `begun` is called, whatever is written from then on. A key may come more
    /// than once. `begun` is given the newest pending row; 0 where there is none. What is pending of `counted` is not read.
    pub async fn totals(
        &self,
        counted: &[Arc<CountedRollup>],
        begun: impl FnOnce(i64),
        mut each: impl FnMut(&Key, &Sums),
    ) -> Result<(), StoreError> {
        const SQL: &str = concat!("select ", totals_columns!(), " from ai_totals");
        on!(&self.read, TOTALS_LIMIT, |conn| {
            let mut tx = dialect::begin_snapshot(conn).await?;
            dialect::extend_timeout(&mut *tx).await?;
            begun(sqlx::query_scalar(dialect::newest_pending(&tx)).fetch_one(&mut *tx).await?);
            give_each(sqlx::query_as(SQL).fetch(&mut *tx), &mut each).await?;
            tx.each_pending(counted, &mut each).await
        })
    }
}
