//! `GET /analytics`: the businesses, with their headline figures.

use axum::Json;
use serde::{Deserialize, Serialize};
use strum::VariantArray;

use super::cursor::{self, cursor};
use super::unavailable;
use crate::analytics::PeriodQuery;
use crate::analytics::list::{ListPage, ListQuery, Listed, Place, Rank, Sort, list};
use crate::app::App;
use crate::http::error::ApiError;
use crate::http::extract::{BusinessLimit, Query};
use crate::http::paging::limit;

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
#[derive(Debug, Serialize)]
pub struct BusinessesResponse {
    businesses: Vec<Listed>,
    /// The cursor of the next page; null on the last one.
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
