//! `/admin/links`: links that open a page without signing in.

pub(super) mod doc;

use axum::Json;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::error::ApiError;
use super::extract::{BusinessLimit, JsonBody, NoQuery, Path, Query};
use super::paging::{cut, limit};
use super::site::Site;
use crate::app::App;
use crate::audit::Actor;
use crate::auth::key::Secret;
use crate::clock::timestamp;
use crate::link::{InvalidLink, Link, NewLink};
use crate::store::StoreError;

/// A link, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct LinkResponse {
    id: String,
    business_id: String,
    page: &'static str,
    #[schema(required)]
    month: Option<String>,
    /// `active`, `expired` or `revoked`.
    status: &'static str,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    expires_at: String,
    #[schema(required, format = DateTime)]
    revoked_at: Option<String>,
    created_by: String,
}

/// The body of the response to a new link, whose address is not shown again.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewLinkResponse {
    id: String,
    url: String,
    #[schema(format = DateTime)]
    expires_at: String,
}

/// The body of `GET /admin/links`.
#[derive(Debug, Serialize, ToSchema)]
pub struct LinkList {
    links: Vec<LinkResponse>,
    /// The `after` of the next page; null on the last one.
    #[schema(required)]
    next: Option<String>,
}

/// The query string of `GET /admin/links`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    limit: Option<String>,
    after: Option<String>,
}

/// Returns the address of a link at this origin.
#[must_use]
pub fn address(origin: &str, secret: &Secret) -> String {
    format!("{origin}/shared/{}", secret.expose())
}

/// `POST /admin/links`: makes a link.
pub async fn create(
    app: App,
    by: Actor,
    own: BusinessLimit,
    site: Site,
    _: NoQuery,
    JsonBody(wish): JsonBody<NewLink>,
) -> Result<(StatusCode, Json<NewLinkResponse>), ApiError> {
    own.within(Some(wish.business_id.clone()))?;
    let now = app.clock.now();
    let (link, secret) = wish.into_link(now, &by)?;
    let added = app.store.add_link(&link, &secret.hash(), now, &by).await;
    added.map_err(|error| unavailable(&error))?;
    let made = NewLinkResponse {
        id: link.id.to_string(),
        url: address(&site.origin(), &secret),
        expires_at: timestamp(link.expires_at),
    };
    Ok((StatusCode::CREATED, Json(made)))
}

/// `GET /admin/links`: returns links, the newest first, those that do not work any more included.
pub async fn list(
    app: App,
    own: BusinessLimit,
    Query(query): Query<ListQuery>,
) -> Result<Json<LinkList>, ApiError> {
    let limit = limit(query.limit.as_deref())?;
    let before = query.after.as_deref().filter(|after| !after.is_empty()).map(Uuid::try_parse).transpose();
    let before = before
        .map_err(|_: _| ApiError::InvalidValue("after", "after must be the next of the page before"))?;
    // One more than the limit, to find out whether there is a next page.
    let found = app.store.links(own.own(), before, limit + 1).await;
    let mut found = found.map_err(|error| unavailable(&error))?;
    let more = cut(&mut found, limit);
    let next = found.last().map(|link| link.id.to_string()).filter(|_| more);
    let now = app.clock.now();
    Ok(Json(LinkList { links: found.into_iter().map(|link| LinkResponse::of(link, now)).collect(), next }))
}

/// `DELETE /admin/links/{id}`: revokes a link. Revoking it again has no effect.
pub async fn revoke(
    app: App,
    by: Actor,
    own: BusinessLimit,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<Json<LinkResponse>, ApiError> {
    const UNKNOWN: ApiError = ApiError::NotFound("No link has this id");
    let id = Uuid::try_parse(&id).map_err(|_: _| UNKNOWN)?;
    let now = app.clock.now();
    let revoked = app.store.revoke_link(id, own.own(), now, &by).await;
    let link = revoked.map_err(|error| unavailable(&error))?.ok_or(UNKNOWN)?;
    Ok(Json(LinkResponse::of(link, now)))
}

fn unavailable(error: &StoreError) -> ApiError {
    tracing::error!("cannot read or change links: {error}");
    ApiError::StoreUnavailable
}

impl LinkResponse {
    fn of(link: Link, now: DateTime<Utc>) -> Self {
        Self {
            status: link.status(now),
            id: link.id.to_string(),
            business_id: link.business_id,
            page: link.page.name(),
            month: link.month.map(|month| month.to_string()),
            created_at: timestamp(link.created_at),
            expires_at: timestamp(link.expires_at),
            revoked_at: link.revoked_at.map(timestamp),
            created_by: link.created_by,
        }
    }
}

impl From<InvalidLink> for ApiError {
    fn from(error: InvalidLink) -> Self {
        Self::InvalidField(error.field, error.must_be)
    }
}
