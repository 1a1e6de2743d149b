//! Extractors, whose rejections are all an [`ApiError`].

mod body;
mod business;
mod events;
mod outcomes;
mod text;

pub use body::{AnyBody, FormBody, JsonBody};
pub use business::{BusinessId, BusinessLimit};
pub use events::{EventBatch, EventBody, IDEMPOTENCY_KEY, MAX_EVENTS, idempotency_shape};
pub use outcomes::{MAX_OUTCOMES, OutcomeBody, ReportedOutcomes, outcome_shape};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::error::ApiError;
use super::middleware::request_context::RequestContext;
use crate::app::App;
use crate::audit::Actor;
use crate::privacy::subject::Hasher;

/// The caller and the id of the request, for the audit trail.
impl FromRequestParts<App> for Actor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        let context = RequestContext::of(&parts.extensions);
        let name = context.principal().caller(context.client_ip()).actor();
        Ok(Self { name, request_id: Some(context.audit_id().to_owned()) })
    }
}

/// The hasher of persons. The request is rejected if there is none.
#[derive(Debug)]
pub struct Subjects(pub Hasher);

impl FromRequestParts<App> for Subjects {
    type Rejection = ApiError;

    async fn from_request_parts(_: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let missing = "PRIVACY_HASH_KEY is not set; set it to use this route in production";
        app.hasher.clone().map(Self).ok_or(ApiError::NotSetUp(missing))
    }
}

/// A segment of the path, percent-decoded.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    #[expect(clippy::disallowed_types, reason = "this is the place that gives axum's extractor our errors")]
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|path| Self(path.0)).map_err(|_: _| ApiError::BadRequest("The path is not valid UTF-8"))
    }
}

/// The query string. Unknown parameters are ignored, unless `T` denies them.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    #[expect(clippy::disallowed_types, reason = "this is the place that gives axum's extractor our errors")]
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = axum::extract::Query::from_request_parts(parts, state).await;
        query.map(|query| Self(query.0)).map_err(|error| {
            // The message quotes the parameter, which may be anything; what it lists after that is the route's own.
            let accepted =
                error.body_text().rsplit_once(", expected ").map(|(_, names)| names.replace('`', ""));
            match accepted {
                Some(names) => {
                    ApiError::InvalidQuery(format!("unknown parameter; this route accepts {names}"))
                }
                None => ApiError::BadRequest("The query string is malformed"),
            }
        })
    }
}

/// The absence of a query string.
#[derive(Debug)]
pub struct NoQuery;

impl<S: Send + Sync> FromRequestParts<S> for NoQuery {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match parts.uri.query() {
            None | Some("") => Ok(Self),
            Some(_) => Err(ApiError::InvalidQuery(
                "this route accepts no parameters; send what it needs in the body".to_owned(),
            )),
        }
    }
}
