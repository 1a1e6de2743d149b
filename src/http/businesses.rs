//! `/admin/businesses`: business profiles.

pub(super) mod doc;

use axum::Json;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::ApiError;
use super::extract::{BusinessId, BusinessLimit, JsonBody, NoQuery, Query};
use super::paging::{cut, limit};
use crate::app::App;
use crate::audit::Actor;
use crate::business::{InvalidProfile, OpeningHours, Profile, ProfileField, ProfileRequest, is_business_id};
use crate::store::StoreError;

/// A business, with null for what is set neither here nor in the receptionist app's tables.
#[derive(Debug, Serialize, ToSchema)]
pub struct BusinessResponse {
    business_id: String,
    #[schema(required)]
    name: Option<String>,
    #[schema(required)]
    time_zone: Option<&'static str>,
    /// The zone that decides the days of its events.
    time_zone_in_effect: &'static str,
    #[schema(required)]
    opening_hours: Option<OpeningHours>,
    #[schema(required)]
    monthly_budget_usd: Option<f64>,
    /// The names of the fields that are not set here and come from the receptionist app's tables.
    from_app: Vec<&'static str>,
}

/// The body of `GET /admin/businesses`.
#[derive(Debug, Serialize, ToSchema)]
pub struct BusinessList {
    businesses: Vec<BusinessResponse>,
    /// The `after` of the next page; null on the last one.
    #[schema(required)]
    next: Option<String>,
}

/// The query string of `GET /admin/businesses`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    limit: Option<String>,
    after: Option<String>,
}

/// `GET /admin/businesses`: returns the businesses that have a profile or events, ordered by id.
pub async fn list(
    app: App,
    own: BusinessLimit,
    Query(query): Query<ListQuery>,
) -> Result<Json<BusinessList>, ApiError> {
    let limit = limit(query.limit.as_deref())?;
    let after = after(query.after)?;
    if let Some(only) = own.own() {
        let profile = app.store.profile(only).await.map_err(|error| unavailable(&error))?;
        let businesses = vec![BusinessResponse::of(&app, only.to_owned(), profile)];
        return Ok(Json(BusinessList { businesses, next: None }));
    }
    // One more than the limit, to find out whether there is a next page.
    let found = app.store.businesses(&after, limit + 1).await;
    let mut found = found.map_err(|error| unavailable(&error))?;
    let more = cut(&mut found, limit);
    let next = found.last().map(|(id, _)| id.clone()).filter(|_| more);
    let businesses = found.into_iter().map(|(id, profile)| BusinessResponse::of(&app, id, profile));
    Ok(Json(BusinessList { businesses: businesses.collect(), next }))
}

/// `GET /admin/businesses/{business_id}`: returns the profile of a business, whether anything is known about it or not.
pub async fn show(app: App, business_id: BusinessId, _: NoQuery) -> Result<Json<BusinessResponse>, ApiError> {
    let profile = app.store.profile(business_id.as_str()).await.map_err(|error| unavailable(&error))?;
    Ok(Json(BusinessResponse::of(&app, business_id.into_string(), profile)))
}

/// `PUT /admin/businesses/{business_id}`: changes the fields that the body names; null clears. It holds for events that come after the
/// response, on this replica.
pub async fn set(
    app: App,
    by: Actor,
    business_id: BusinessId,
    _: NoQuery,
    JsonBody(request): JsonBody<ProfileRequest>,
) -> Result<Json<BusinessResponse>, ApiError> {
    let change = request.into_change()?;
    let set = app.store.set_profile(business_id.as_str(), &change, app.clock.now(), &by).await;
    set.map_err(|error| unavailable(&error))?;
    app.store.load_profiles().await.map_err(|error| unavailable(&error))?;
    let profile = app.store.profiles().current().get(business_id.as_str()).cloned().unwrap_or_default();
    Ok(Json(BusinessResponse::of(&app, business_id.into_string(), profile)))
}

fn after(text: Option<String>) -> Result<String, ApiError> {
    let after = text.unwrap_or_default();
    if after.is_empty() || is_business_id(&after) {
        return Ok(after);
    }
    Err(ApiError::InvalidValue("after", "after must be the next of the page before"))
}

fn unavailable(error: &StoreError) -> ApiError {
    tracing::error!("cannot read or change business profiles: {error}");
    ApiError::StoreUnavailable
}

impl BusinessResponse {
    fn of(app: &App, business_id: String, profile: Profile) -> Self {
        Self::new(business_id, profile, app.store.profiles().current().default_zone())
    }

    /// Creates a response. `default_zone` is the zone of businesses without one of their own.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "no budget reaches 2^53 millionths")]
    pub fn new(business_id: String, profile: Profile, default_zone: Tz) -> Self {
        let zone = profile.time_zone.unwrap_or(default_zone);
        let from_app = profile.from_app.fields().map(ProfileField::name).collect();
        Self {
            business_id,
            name: profile.name,
            time_zone: profile.time_zone.map(Tz::name),
            time_zone_in_effect: zone.name(),
            opening_hours: profile.opening_hours,
            monthly_budget_usd: profile.monthly_budget_micros.map(|micros| micros as f64 / 1e6),
            from_app,
        }
    }
}

impl From<InvalidProfile> for ApiError {
    fn from(error: InvalidProfile) -> Self {
        Self::InvalidField(error.field.name(), error.must_be)
    }
}
