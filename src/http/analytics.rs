//! `/analytics`: the figures of businesses.

pub mod conversations;
mod cursor;
pub mod list;
pub(super) mod sheet;

use axum::Json;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::extract::{BusinessId, Query};
use crate::analytics::{
    Includes, Metrics, OfDay, Part, Period, PeriodError, PeriodQuery, Report, UnknownPart, report,
};
use crate::app::App;
use crate::clock::timestamp;
use crate::store::StoreError;
use sheet::{Sheet, prefers_csv, with_vary};

/// The query string.
#[derive(Debug, Deserialize)]
pub struct AnalyticsQuery {
    #[serde(flatten)]
    period: PeriodQuery,
    include: Option<String>,
}

/// The body of the response.
#[derive(Debug, Serialize)]
pub struct AnalyticsResponse {
    business_id: String,
    period: String,
    #[serde(flatten)]
    figures: Figures,
    monitoring: &'static str,
    prometheus_metrics_url: &'static str,
    timestamp: String,
}

/// What a request asked for.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Figures {
    /// Nothing in particular.
    Metrics { metrics: Metrics },
    /// Parts.
    Report(Box<Report>),
}

/// `GET /analytics/{business_id}`: returns the figures of a business over a period, by default the last 30 days, with the parts that
/// `include` names; as CSV, its days.
pub async fn of_business(
    app: App,
    business_id: BusinessId,
    Query(query): Query<AnalyticsQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let now = app.clock.now();
    let today = app.store.profiles().current().day(business_id.as_str(), now);
    let period = query.period.read(today)?;
    let mut includes = Includes::read(query.include.as_deref().unwrap_or_default())?;
    let as_csv = prefers_csv(&headers);
    if as_csv {
        includes = [Part::Series].into_iter().collect();
    }
    let figures = figures(&app, business_id.as_str(), &period, &includes);
    let figures = figures.await.map_err(|error| unavailable(&error))?;
    if let (true, Figures::Report(report)) = (as_csv, &figures) {
        let series = report.series.as_deref().unwrap_or_default();
        return Ok(Sheet::new(&OfDay::COLUMNS, series)?.into_response());
    }
    Ok(with_vary(Json(AnalyticsResponse {
        business_id: business_id.into_string(),
        period: period.name,
        figures,
        monitoring: "prometheus",
        prometheus_metrics_url: "/metrics",
        timestamp: timestamp(now),
    })))
}

async fn figures(
    app: &App,
    business_id: &str,
    period: &Period,
    includes: &Includes,
) -> Result<Figures, StoreError> {
    if includes.is_empty() {
        let sums = app.store.summary(business_id, period.days).await?;
        return Ok(Figures::Metrics { metrics: sums.into() });
    }
    Ok(Figures::Report(Box::new(report(app, business_id, period, includes).await?)))
}

fn unavailable(error: &StoreError) -> ApiError {
    tracing::error!("cannot read analytics: {error}");
    ApiError::StoreUnavailable
}

impl From<PeriodError> for ApiError {
    fn from(error: PeriodError) -> Self {
        Self::InvalidField(error.field, error.must_be)
    }
}

impl From<UnknownPart> for ApiError {
    fn from(error: UnknownPart) -> Self {
        Self::InvalidField("include", error.to_string())
    }
}
