//! `GET /analytics/{business_id}`.

use axum::Json;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::extract::{BusinessId, Query};
use crate::app::App;
use crate::clock::timestamp;
use crate::store::Summary;

/// The number of days to sum up by default.
const DEFAULT_DAYS: u16 = 30;

/// The maximum number of days to sum up.
const MAX_DAYS: u16 = 366;

/// The query string.
#[derive(Debug, Deserialize)]
pub struct Period {
    days: Option<String>,
}

/// The body of the response.
#[derive(Debug, Serialize)]
pub struct AnalyticsResponse {
    business_id: String,
    period: String,
    metrics: Figures,
    monitoring: &'static str,
    prometheus_metrics_url: &'static str,
    timestamp: String,
}

#[derive(Debug, Serialize)]
struct Figures {
    total_conversations: i64,
    avg_response_time_ms: f64,
    avg_tokens_used: f64,
    total_api_cost_usd: f64,
    appointment_requests: i64,
    appointments_booked: i64,
    human_handoffs: i64,
    appointment_conversion_rate: f64,
}

/// `GET /analytics/{business_id}?days=30`: returns the sums and averages of a business over the last days.
pub async fn of_business(
    app: App,
    business_id: BusinessId,
    Query(period): Query<Period>,
) -> Result<Json<AnalyticsResponse>, ApiError> {
    let days = period.days()?;
    let now = app.clock.now();
    let summary = app.store.summary(business_id.as_str(), days, now).await.map_err(|error| {
        tracing::error!("cannot read analytics: {error}");
        ApiError::StoreUnavailable
    })?;
    Ok(Json(AnalyticsResponse {
        business_id: business_id.into_string(),
        period: format!("{days}_days"),
        metrics: summary.into(),
        monitoring: "prometheus",
        prometheus_metrics_url: "/metrics",
        timestamp: timestamp(now),
    }))
}

impl Period {
    fn days(&self) -> Result<u16, ApiError> {
        let Some(days) = &self.days else { return Ok(DEFAULT_DAYS) };
        let digits = days.bytes().all(|byte| byte.is_ascii_digit());
        let days = days.parse().ok().filter(|days| digits && (1..=MAX_DAYS).contains(days));
        days.ok_or(ApiError::InvalidValue("days", "days must be a whole number from 1 to 366"))
    }
}

impl From<Summary> for Figures {
    #[expect(clippy::cast_precision_loss, reason = "millionths of a dollar stay below 2^53")]
    fn from(sums: Summary) -> Self {
        Self {
            total_conversations: sums.events,
            avg_response_time_ms: ratio(sums.response_time_ms, sums.events),
            avg_tokens_used: ratio(sums.tokens, sums.events),
            total_api_cost_usd: sums.cost_micros as f64 / 1e6,
            appointment_requests: sums.appointments_requested,
            appointments_booked: sums.appointments_booked,
            human_handoffs: sums.handoffs,
            appointment_conversion_rate: ratio(sums.appointments_booked, sums.appointments_requested),
        }
    }
}

/// Returns `part` ÷ `whole`; 0.0 if `whole` is 0.
#[expect(clippy::cast_precision_loss, reason = "sums stay below 2^53")]
fn ratio(part: i64, whole: i64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
