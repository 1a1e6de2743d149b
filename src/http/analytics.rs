//! `/analytics`: the figures of businesses.

pub mod conversations;
mod cursor;
pub mod list;
pub(super) mod sheet;

use axum::Json;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use strum::VariantArray;

use super::error::ApiError;
use super::extract::{BusinessId, Query};
use super::openapi::{Doc, Group, Reply};
use crate::analytics::{
    Includes, Metrics, OfDay, Part, Period, PeriodError, PeriodQuery, Report, UnknownPart, report,
};
use crate::app::App;
use crate::clock::timestamp;
use crate::shape::Shape;
use crate::store::StoreError;
use sheet::{Sheet, prefers_csv, with_vary};
use utoipa::ToSchema;

/// The query string.
#[derive(Debug, Deserialize)]
pub struct AnalyticsQuery {
    #[serde(flatten)]
    period: PeriodQuery,
    include: Option<String>,
}

/// The body of the response.
#[derive(Debug, Serialize, ToSchema)]
pub struct AnalyticsResponse {
    business_id: String,
    period: String,
    #[serde(flatten)]
    figures: Figures,
    monitoring: &'static str,
    prometheus_metrics_url: &'static str,
    #[schema(format = DateTime)]
    timestamp: String,
}

/// What a request asked for.
#[derive(Debug, Serialize, ToSchema)]
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

/// Adds the parameters that name a period.
pub(super) fn with_period(doc: Doc) -> Doc {
    PeriodQuery::shapes().into_iter().fold(doc, |doc, (name, shape)| doc.query(name, shape))
}

/// What the API document says of [`of_business`].
pub(super) fn doc() -> Doc {
    let example = json!({
        "business_id": "test-business",
        "period": "30_days",
        "metrics": {
            "total_conversations": 150,
            "avg_response_time_ms": 1250.5,
            "avg_tokens_used": 125.3,
            "total_api_cost_usd": 0.045,
            "appointment_requests": 25,
            "appointments_booked": 18,
            "human_handoffs": 3,
            "appointment_conversion_rate": 0.72,
        },
        "monitoring": "prometheus",
        "prometheus_metrics_url": "/metrics",
        "timestamp": "2026-11-23T11:33:30.716668+00:00",
    });
    let parts: Vec<&str> = Part::VARIANTS.iter().map(|part| part.name()).collect();
    let include = Shape::matching(&format!("^ *({0}) *(, *({0}) *)*$", parts.join("|")));
    let doc = Doc::new(Group::Analytics, "getAnalytics", "Read the figures of a business")
        .about(
            "`metrics` counts answers, also as `total_conversations`. With `include` the answer has those parts, and `from`, `to`, \
             `time_zone` and `known_from`. Days are those of the business. With `Accept: text/csv` the answer is the series as CSV.",
        );
    with_period(doc)
        .query(
            "include",
            include
                .about("Parts of the answer, separated by commas")
                .such_as("conversations,funnel")
                .or_empty(),
        )
        .replies(
            Reply::json::<AnalyticsResponse>(
                200,
                "The figures; zeros for a business without events",
                example,
            )
            .of(("text/csv", Shape::string(), None))
            .with("Vary", "`Accept`"),
        )
        .fails(UnknownPart, "a parameter has a value that it cannot have, or two of them name a period")
        .fails(ApiError::BusinessDenied, "the key is bound to another business")
        .fails(ApiError::StoreUnavailable, "the database does not respond in time")
}
