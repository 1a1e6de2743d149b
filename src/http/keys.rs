//! `/admin/keys`: named keys over HTTP.

pub(super) mod doc;

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::ApiError;
use super::extract::{JsonBody, NoQuery, Path, Query};
use super::middleware::request_context::RequestContext;
use crate::app::App;
use crate::audit::Actor;
use crate::auth::key::{KeyId, NamedKey, PlainKey, Scope};
use crate::auth::{Authority, DEFAULT_GRACE, KeyError, NewKey};
use crate::clock::timestamp;
use crate::security::{Incident, SecurityEvent};

/// A key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyResponse {
    id: String,
    name: String,
    scopes: Vec<&'static str>,
    tier: String,
    #[schema(required)]
    business_id: Option<String>,
    /// The id of the key that made it.
    #[schema(required)]
    parent: Option<String>,
    status: &'static str,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(required, format = DateTime)]
    expires_at: Option<String>,
    #[schema(required, format = DateTime)]
    last_used_at: Option<String>,
    #[schema(required, format = DateTime)]
    revoked_at: Option<String>,
    /// When the replaced secret stops working.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    previous_secret_until: Option<String>,
}

/// A new key with its plain form, which is not shown again.
#[derive(Debug, Serialize, ToSchema)]
struct NewKeyResponse {
    key: String,
    #[serde(flatten)]
    shown: KeyResponse,
}

/// The body of `GET /admin/keys`.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyList {
    keys: Vec<KeyResponse>,
}

/// The body of `POST /admin/keys/{id}/rotate`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotationRequest {
    grace: Option<String>,
}

/// The query string of `DELETE /admin/keys/{id}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevocationQuery {
    keep_children: Option<String>,
}

/// A revoked key, with those that were revoked with it.
#[derive(Debug, Serialize, ToSchema)]
struct RevocationResponse {
    #[serde(flatten)]
    shown: KeyResponse,
    children: Vec<KeyResponse>,
}

impl FromRequestParts<App> for Authority {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Infallible> {
        Ok(Self::of(RequestContext::of(&parts.extensions).principal()))
    }
}

/// `GET /admin/keys`: returns all keys, including revoked ones.
pub async fn list(app: App) -> Result<Json<KeyList>, ApiError> {
    // Unreadable rows are logged by the task that reloads the keys.
    let (keys, _unreadable) = app.access.key_cache().list().await.map_err(KeyError::from)?;
    let now = app.clock.now();
    Ok(Json(KeyList { keys: keys.into_iter().map(|key| KeyResponse::of(key, now)).collect() }))
}

/// `POST /admin/keys`: creates a key.
pub async fn create(
    app: App,
    by: Actor,
    authority: Authority,
    _: NoQuery,
    JsonBody(request): JsonBody<NewKey>,
) -> Result<Response, ApiError> {
    let (key, plain) = app.access.key_cache().create(request, &app.config.tiers, &authority, &by).await?;
    Ok(with_secret(&app, StatusCode::CREATED, SecurityEvent::KeyCreated, key, &plain))
}

/// `POST /admin/keys/{id}/rotate`: replaces the secret of a key. The old one stays valid for a grace period,
/// set by `{"grace": "24h"}`.
pub async fn rotate(
    app: App,
    by: Actor,
    authority: Authority,
    Path(id): Path<String>,
    _: NoQuery,
    JsonBody(request): JsonBody<Option<RotationRequest>>,
) -> Result<Response, ApiError> {
    let grace = request.unwrap_or_default().grace;
    let grace = grace.as_deref().unwrap_or(DEFAULT_GRACE);
    let (key, plain) = app.access.key_cache().rotate(read(&id)?, grace, &authority, &by).await?;
    Ok(with_secret(&app, StatusCode::OK, SecurityEvent::KeyRotated, key, &plain))
}

/// `DELETE /admin/keys/{id}`: revokes a key and those that it made.
pub async fn revoke(
    app: App,
    by: Actor,
    Path(id): Path<String>,
    Query(query): Query<RevocationQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let keep_children = match query.keep_children.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(ApiError::InvalidField("keep_children", "must be true or false".to_owned())),
    };
    let revocation = app.access.key_cache().revoke(read(&id)?, keep_children, &by).await?;
    let (key, now) = (revocation.key, app.clock.now());
    let incident =
        revocation.is_new.then(|| Extension(Incident::new(SecurityEvent::KeyRevoked, Some(key.id))));
    let children = revocation.children.into_iter().map(|child| KeyResponse::of(child, now)).collect();
    Ok((incident, Json(RevocationResponse { children, shown: KeyResponse::of(key, now) })))
}

fn with_secret(
    app: &App,
    status: StatusCode,
    event: SecurityEvent,
    key: NamedKey,
    plain: &PlainKey,
) -> Response {
    let incident = Incident::new(event, Some(key.id));
    let shown = KeyResponse::of(key, app.clock.now());
    (status, Extension(incident), Json(NewKeyResponse { key: plain.expose(), shown })).into_response()
}

fn read(id: &str) -> Result<KeyId, ApiError> {
    id.parse().map_err(|_: _| KeyError::Unknown.into())
}

impl KeyResponse {
    fn of(key: NamedKey, now: DateTime<Utc>) -> Self {
        let status = key.status(now).name();
        let in_grace = key.previous.map(|previous| previous.until).filter(|until| *until > now);
        Self {
            id: key.id.to_string(),
            name: key.name,
            scopes: key.scopes.iter().map(Scope::name).collect(),
            tier: key.tier.unwrap_or_else(|| "standard".to_owned()),
            business_id: key.business_id,
            parent: key.parent.map(|parent| parent.to_string()),
            status,
            created_at: timestamp(key.created_at),
            expires_at: key.expires_at.map(timestamp),
            last_used_at: key.last_used_at.map(timestamp),
            revoked_at: key.revoked_at.map(timestamp),
            previous_secret_until: in_grace.map(timestamp),
        }
    }
}

impl From<KeyError> for ApiError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Invalid { field, must_be } => Self::InvalidField(field, must_be),
            KeyError::Unknown => Self::NotFound("No key has this id"),
            KeyError::Exceeded(why) => Self::Forbidden(why),
            KeyError::Inactive(_) => Self::Conflict(error.to_string()),
            KeyError::Store(error) => {
                tracing::error!("cannot read or change API keys: {error}");
                Self::StoreUnavailable
            }
        }
    }
}
