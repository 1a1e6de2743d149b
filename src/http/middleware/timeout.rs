//! The time limit of a request.

use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use tower_http::timeout::TimeoutLayer;

use crate::http::error::ApiError;

/// How long a request may take to arrive and be answered. Whatever neighbour hangs, handlers answer within 3 s; what
/// takes longer is a body that trickles in.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// Returns the layer that answers 408, with an empty body, to a request that takes too long.
#[must_use]
pub fn layer() -> TimeoutLayer {
    TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, REQUEST_LIMIT)
}

/// Puts the error in JSON in the place of the empty answer of the layer.
pub fn into_json(response: Response) -> Response {
    match response.status() == StatusCode::REQUEST_TIMEOUT && !response.headers().contains_key(CONTENT_TYPE) {
        true => ApiError::TooSlow.into_response(),
        false => response,
    }
}
