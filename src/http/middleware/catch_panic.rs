//! Answers for what panics.

use std::any::Any;

use axum::response::{IntoResponse, Response};

use crate::http::error::ApiError;

/// Returns the answer to a request whose handling panicked. The panic hook has logged where.
#[expect(clippy::needless_pass_by_value, reason = "`CatchPanicLayer` passes the payload by value")]
pub fn answer(_panic: Box<dyn Any + Send>) -> Response {
    ApiError::Internal.into_response()
}
