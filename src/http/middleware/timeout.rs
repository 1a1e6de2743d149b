//! The time limit of a request. The `TimeoutLayer` of `tower-http` answers with an empty body.

use std::time::Duration;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::http::error::ApiError;

/// How long a request may take to arrive and be answered. Whatever neighbour hangs, handlers answer within 3 s; what
/// takes longer is a body that trickles in.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// Answers 408 to a request that takes too long.
pub async fn limit(request: Request, next: Next) -> Response {
    let answered = tokio::time::timeout(REQUEST_LIMIT, next.run(request)).await;
    answered.unwrap_or_else(|_elapsed| ApiError::TooSlow.into_response())
}
