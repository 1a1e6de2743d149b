//! The time limit of a request.

use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use tower_http::timeout::TimeoutLayer;

use crate::http::error::ApiError;

/// The time limit of receiving a request and responding to it. Whichever neighbouring service hangs, handlers
/// respond within 3 s, within 5 s where they read analytics, apart from those of privacy requests; only a slowly sent body takes longer.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// Returns the layer that responds with 408 and an empty body to a request that takes too long.
#[must_use]
pub fn layer() -> TimeoutLayer {
    TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, REQUEST_LIMIT)
}

/// Replaces the empty response of the layer with the error in JSON.
pub fn into_json(response: Response) -> Response {
    match response.status() == StatusCode::REQUEST_TIMEOUT && !response.headers().contains_key(CONTENT_TYPE) {
        true => ApiError::TooSlow.into_response(),
        false => response,
    }
}
