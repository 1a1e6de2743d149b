//! The sums of a business over a period of days.

use std::sync::LazyLock;

use super::columns::list;
use crate::store::analytics::{DayRange, sums};
use crate::store::{READ_LIMIT, Store, StoreError};

sums! {
    /// The sums that analytics shows of answers; see [`crate::rollup::Sum`].
    Summary {
        /// The number of events.
        events,
        /// Response times in milliseconds.
        response_time_ms,
        /// Tokens of prompts and completions together.
        tokens,
        /// Costs in millionths of a US dollar.
        cost_micros,
        /// Events in which an appointment was requested.
        appointments_requested,
        /// Events in which an appointment was booked.
        appointments_booked,
        /// Events in which a handoff to a human was requested.
        handoffs,
        /// Events in which the AI failed: those whose response type is [`crate::rollup::ERROR_RESPONSE`].
        errors,
    }
}

/// Returns the expression of the view `ai_rollup_daily_now` for a column of [`Summary`].
fn expression(column: &str) -> String {
    match column {
        "errors" => {
            format!("case when response_type = '{}' then events else 0 end", crate::rollup::ERROR_RESPONSE)
        }
        column => column.to_owned(),
    }
}

/// Returns the columns of [`Summary`] as columns of the view `ai_rollup_daily_now`.
pub(in crate::store) fn answer_columns() -> String {
    list(Summary::COLUMNS.iter().map(|column| format!("{} as {column}", expression(column))))
}

/// Returns `columns` summed up; 0 over no rows.
pub(in crate::store) fn summed(columns: &[&str]) -> String {
    list(columns.iter().map(|column| format!("coalesce(cast(sum({column}) as bigint), 0) as {column}")))
}

static SUMMARY: LazyLock<String> = LazyLock::new(|| {
    let (sums, answers) = (summed(Summary::COLUMNS), answer_columns());
    format!(
        "select {sums} from (select {answers} from ai_rollup_daily_now where business_id = $1 and day between $2 and $3) answers"
    )
});

impl Store {
    /// Returns the summary of `business_id` over `days`.
    pub async fn summary(&self, business_id: &str, days: DayRange) -> Result<Summary, StoreError> {
        let mut source = self.source();
        loop {
            let read = on!(source.db(), READ_LIMIT, |conn| {
                let query = sqlx::query_as(SUMMARY.as_str()).bind(business_id);
                query.bind(days.from).bind(days.to).fetch_one(conn).await
            });
            if let Some(read) = source.settle(read) {
                return read;
            }
        }
    }
}
