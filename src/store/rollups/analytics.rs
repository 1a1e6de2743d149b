//! The sums of a business over some days.

use std::sync::LazyLock;

use chrono::{DateTime, TimeDelta, Utc};

use super::columns::{list, sum_columns};
use crate::rollup::day_of;
use crate::store::{READ_LIMIT, Store, StoreError};

/// The sums of a business that analytics shows, each the [`crate::rollup::Sum`] of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Events.
    pub events: i64,
    /// Response times in milliseconds.
    pub response_time_ms: i64,
    /// Tokens of prompts and completions together.
    pub tokens: i64,
    /// Costs in millionths of a US dollar.
    pub cost_micros: i64,
    /// Events that asked for an appointment.
    pub appointments_requested: i64,
    /// Events that booked one.
    pub appointments_booked: i64,
    /// Events that were handed to a person.
    pub handoffs: i64,
}

from_row!(Summary {
    events,
    response_time_ms,
    tokens,
    cost_micros,
    appointments_requested,
    appointments_booked,
    handoffs
});

static SUMMARY: LazyLock<String> = LazyLock::new(|| {
    let sums = sum_columns().map(|column| format!("coalesce(cast(sum({column}) as bigint), 0) as {column}"));
    format!("select {} from ai_rollup_daily_now where business_id = $1 and day >= $2", list(sums))
});

impl Store {
    /// Returns the summary of `business_id` over `days` calendar days, of which the last is that of `now`.
    pub async fn summary(
        &self,
        business_id: &str,
        days: u16,
        now: DateTime<Utc>,
    ) -> Result<Summary, StoreError> {
        let since = day_of(now, self.zone) - TimeDelta::days(i64::from(days) - 1);
        on!(&self.read, READ_LIMIT, |conn| {
            sqlx::query_as(SUMMARY.as_str()).bind(business_id).bind(since).fetch_one(conn).await
        })
    }
}
