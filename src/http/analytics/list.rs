//! `GET /analytics`: the businesses, with their headline figures.

use axum::Json;
use serde::{Deserialize, Serialize};
use serde_json::json;
use strum::VariantArray;
use utoipa::ToSchema;

use super::cursor::{self, cursor};
use super::{unavailable, with_period};
use crate::analytics::PeriodQuery;
use crate::analytics::list::{ListPage, ListQuery, Listed, Place, Rank, Sort, list};
use crate::app::App;
use crate::http::error::ApiError;
use crate::http::extract::{BusinessLimit, Query};
use crate::http::openapi::{Doc, Group, Reply};
use crate::http::paging::{limit, limit_shape};
use crate::shape::Shape;

/// The query string.
#[derive(Debug, Deserialize)]
pub struct BusinessesQuery {
    #[serde(flatten)]
    period: PeriodQuery,
    sort: Option<String>,
    limit: Option<String>,
    after: Option<String>,
}

/// The body of the response.
#[derive(Debug, Serialize, ToSchema)]
pub struct BusinessesResponse {
    businesses: Vec<Listed>,
    /// The cursor of the next page; null on the last one.
    #[schema(required)]
    next: Option<String>,
}

/// `GET /analytics`: returns a page of the businesses that the caller may act for, with figures over a period.
pub async fn businesses(
    app: App,
    business: BusinessLimit,
    Query(query): Query<BusinessesQuery>,
) -> Result<Json<BusinessesResponse>, ApiError> {
    let zone = app.store.profiles().current().default_zone();
    let period = query.period.read(app.clock.now().with_timezone(&zone).date_naive())?;
    let (sort, limit) = (sort(query.sort.as_deref())?, limit(query.limit.as_deref())?);
    let after = after(query.after.as_deref(), sort)?;
    let page = ListQuery {
        period: &period,
        sort,
        search: "",
        after: after.as_ref(),
        skip: 0,
        limit: limit as usize,
        own: business.own(),
    };
    let ListPage { businesses, next, .. } = list(&app, page).await.map_err(|error| unavailable(&error))?;
    let next = next.map(|(rank, business_id)| cursor(&(sort.name(), rank, business_id))).transpose()?;
    Ok(Json(BusinessesResponse { businesses, next }))
}

pub(in crate::http) fn sort(text: Option<&str>) -> Result<Sort, ApiError> {
    let Some(text) = text else { return Ok(Sort::default()) };
    let known = Sort::VARIANTS.iter().copied().find(|sort| sort.name() == text);
    known.ok_or_else(|| {
        let names: Vec<&str> = Sort::VARIANTS.iter().map(|sort| sort.name()).collect();
        ApiError::InvalidField("sort", format!("must be one of {}", names.join(", ")))
    })
}

/// Returns the place that the cursor stands for, if it is one of a list with this order.
fn after(text: Option<&str>, sort: Sort) -> Result<Option<Place>, ApiError> {
    let place: Option<(String, Rank, String)> = cursor::place(text)?;
    let Some((name, rank, business_id)) = place else { return Ok(None) };
    let is_name = matches!(rank, Rank::Name(_));
    if name != sort.name() || is_name != (sort == Sort::Name) {
        return Err(cursor::invalid());
    }
    Ok(Some((rank, business_id)))
}

/// Returns the schema of [`sort`].
pub(in crate::http) fn sort_shape() -> Shape {
    let names = Sort::VARIANTS.iter().map(|sort| sort.name());
    Shape::one_of(names)
        .by_default(Sort::default().name())
        .about("The order: the most or the dearest first, or by name")
}

/// What the API document says of [`businesses`].
pub(in crate::http) fn doc() -> Doc {
    let example = json!({
        "businesses": [{
            "business_id": "test-business",
            "name": "Smile Dental",
            "metrics": {
                "total_conversations": 12,
                "avg_response_time_ms": 1250.5,
                "avg_tokens_used": 125.3,
                "total_api_cost_usd": 0.02,
                "appointment_requests": 5,
                "appointments_booked": 2,
                "human_handoffs": 1,
                "appointment_conversion_rate": 0.4,
            },
            "conversations": 4,
            "booked": 2,
            "p95_ms": 1800.0,
        }],
        "next": null,
    });
    let doc = Doc::new(Group::Analytics, "listAnalytics", "List the businesses with their headline figures")
        .about("The businesses that the key may see and that have answers or a profile. Days are those of `TIME_ZONE`.");
    with_period(doc)
        .query("sort", sort_shape())
        .query("limit", limit_shape())
        .query("after", cursor::shape())
        .replies(Reply::json::<BusinessesResponse>(200, "A page of the list", example).then(
            "listAnalytics",
            "after",
            "$response.body#/next",
        ))
        .fails(cursor::invalid(), "a parameter has a value that it cannot have, or two of them name a period")
        .fails(ApiError::StoreUnavailable, "the database does not respond in time")
}
