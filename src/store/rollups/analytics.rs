//! What a business' events add up to over some days.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::FromRow;

use crate::rollup::day_of;
use crate::store::{READ_LIMIT, Store, StoreError};

/// Sums over the events of one business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct Summary {
    /// How many events.
    pub events: i64,
    /// Milliseconds.
    pub response_time_ms: i64,
    /// Tokens of prompts and completions together.
    pub tokens: i64,
    /// Millionths of a US dollar.
    pub cost_micros: i64,
    /// Events that asked for an appointment.
    pub appointments_requested: i64,
    /// Events that booked one.
    pub appointments_booked: i64,
    /// Events that were handed to a person.
    pub handoffs: i64,
}

impl Store {
    /// The summary of `business_id` over `days` calendar days, of which the one of `now` is the last.
    pub async fn summary(
        &self,
        business_id: &str,
        days: u16,
        now: DateTime<Utc>,
    ) -> Result<Summary, StoreError> {
        const SQL: &str = "select coalesce(cast(sum(events) as bigint), 0) as events,
                   coalesce(cast(sum(response_time_ms) as bigint), 0) as response_time_ms,
                   coalesce(cast(sum(tokens) as bigint), 0) as tokens,
                   coalesce(cast(sum(cost_micros) as bigint), 0) as cost_micros,
                   coalesce(cast(sum(appointments_requested) as bigint), 0) as appointments_requested,
                   coalesce(cast(sum(appointments_booked) as bigint), 0) as appointments_booked,
                   coalesce(cast(sum(handoffs) as bigint), 0) as handoffs
            from ai_rollup_daily_now where business_id = $1 and day >= $2";
        let since = day_of(now, self.zone) - TimeDelta::days(i64::from(days) - 1);
        on!(&self.read, READ_LIMIT, |conn| {
            sqlx::query_as(SQL).bind(business_id).bind(since).fetch_one(conn).await
        })
    }
}
