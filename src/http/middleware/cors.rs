//! Cross-origin resource sharing.

use std::time::Duration;

use axum::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, AUTHORIZATION, CONTENT_TYPE, ORIGIN,
    RETRY_AFTER,
};
use axum::http::{HeaderValue, Method};
use axum::response::Response;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::guard::X_API_KEY;
use super::quota_headers::QUOTA_HEADERS;
use super::request_id::X_REQUEST_ID;
use crate::config::{Config, Origin};
use crate::http::extract::IDEMPOTENCY_KEY;

/// How long a browser may cache the response to a preflight.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_mins(10);

/// Returns the layer that allows the origins of `CORS_ALLOWED_ORIGINS` and responds to preflights.
pub fn layer(config: &Config) -> CorsLayer {
    let readable = [X_REQUEST_ID, RETRY_AFTER].into_iter().chain(QUOTA_HEADERS);
    CorsLayer::new()
        .allow_origin(allowed_origins(&config.origins()))
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE, X_API_KEY, IDEMPOTENCY_KEY, X_REQUEST_ID])
        .expose_headers(readable.collect::<Vec<_>>())
        .vary([ORIGIN])
        .max_age(PREFLIGHT_MAX_AGE)
}

fn allowed_origins(origins: &[Origin]) -> AllowOrigin {
    if origins.iter().any(Origin::is_any) {
        return AllowOrigin::any();
    }
    AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin.as_str()).ok()))
}

/// Removes the list of readable headers if the origin may not read the response: [`CorsLayer`] adds it to
/// all.
pub fn hide_from_other_origins(mut response: Response) -> Response {
    let headers = response.headers_mut();
    if !headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
        headers.remove(ACCESS_CONTROL_EXPOSE_HEADERS);
    }
    response
}
