//! Responses to requests whose handling panics.

use std::any::Any;

use axum::response::{IntoResponse, Response};

use crate::http::error::ApiError;

/// Returns the response to a request whose handling panicked. The panic hook has logged where.
#[must_use]
pub fn answer(_panic: Box<dyn Any + Send>) -> Response {
    ApiError::Internal.into_response()
}
