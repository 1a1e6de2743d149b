//! The sums of a business over a period of days.

use std::sync::LazyLock;

use chrono::{DateTime, TimeDelta, Utc};

use super::columns::{list, sum_columns};
use crate::store::{READ_LIMIT, Store, StoreError};

/// The sums that analytics shows of a business; see [`crate::rollup::Sum`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// The number of events.
    pub events: i64,
    /// Response times in milliseconds.
    pub response_time_ms: i64,
    /// Tokens of prompts and completions together.
    pub tokens: i64,
    /// Costs in millionths of a US dollar.
    pub cost_micros: i64,
    /// Events in which an appointment was requested.
    pub appointments_requested: i64,
    /// Events in which an appointment was booked.
    pub appointments_booked: i64,
    /// Events in which a handoff to a human was requested.
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
    /// Returns the summary of `business_id` over `days` calendar days, the last of which is the day of `now`.
    pub async fn summary(
        &self,
        business_id: &str,
        days: u16,
        now: DateTime<Utc>,
    ) -> Result<Summary, StoreError> {
        let since = self.profiles.current().day(business_id, now) - TimeDelta::days(i64::from(days) - 1);
        on!(&self.read, READ_LIMIT, |conn| {
            sqlx::query_as(SUMMARY.as_str()).bind(business_id).bind(since).fetch_one(conn).await
        })
    }
}
