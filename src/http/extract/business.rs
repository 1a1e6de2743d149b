//! The business ids of requests. Handlers get only those that the caller may act for.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::Deserialize;

use super::Path;
use crate::app::App;
use crate::auth::Principal;
use crate::business::is_business_id;
use crate::http::error::ApiError;
use crate::http::middleware::request_context::RequestContext;

const MUST_BE: &str = "business_id must be 1 to 255 characters, without control characters";

/// The path segment `{business_id}`: a business that the caller may act for.
#[derive(Debug)]
pub struct BusinessId(String);

#[derive(Deserialize)]
struct Segments {
    business_id: String,
}

impl FromRequestParts<App> for BusinessId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let Path(Segments { business_id }) = Path::from_request_parts(parts, app).await?;
        authorize(RequestContext::of(&parts.extensions).principal(), &business_id)?;
        check(&business_id)?;
        Ok(Self(business_id))
    }
}

impl BusinessId {
    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the id.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

/// The business that a caller's requests about persons are limited to.
#[derive(Debug)]
pub struct BusinessLimit(RequestContext);

impl FromRequestParts<App> for BusinessLimit {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        Ok(Self(RequestContext::of(&parts.extensions).clone()))
    }
}

impl BusinessLimit {
    /// Returns the only business that a caller may act for; `None` for all.
    #[must_use]
    pub fn own(&self) -> Option<&str> {
        self.0.principal().business()
    }

    /// Returns the business that a request is limited to, which names `requested`; an error if the caller may not act for that.
    pub fn within(&self, requested: Option<String>) -> Result<Option<String>, ApiError> {
        let Some(business_id) = requested else { return Ok(self.own().map(str::to_owned)) };
        authorize(self.0.principal(), &business_id)?;
        check(&business_id)?;
        Ok(Some(business_id))
    }
}

/// Returns an error if `principal` may not act for the business.
pub(super) fn authorize(principal: &Principal, business_id: &str) -> Result<(), ApiError> {
    if principal.may_use(business_id) { Ok(()) } else { Err(ApiError::BusinessDenied) }
}

/// Rejects ids that no event can have.
fn check(business_id: &str) -> Result<(), ApiError> {
    if is_business_id(business_id) { Ok(()) } else { Err(ApiError::InvalidValue("business_id", MUST_BE)) }
}
