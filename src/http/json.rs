//! Answers in JSON.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::error::ApiError;

/// The room that most bodies need.
const USUAL_BYTES: usize = 256;

/// The headers of an answer, those that the guard and the layers around it add among them.
const USUAL_HEADERS: usize = 16;

/// A value as a JSON answer. Unlike [`axum::Json`] it makes room at once for what most answers take: to grow step by step
/// costs a short answer more than everything else.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let mut body = Vec::with_capacity(USUAL_BYTES);
        if let Err(error) = serde_json::to_writer(&mut body, &self.0) {
            tracing::error!("an answer cannot be written as JSON: {error}");
            return ApiError::Internal.into_response();
        }
        let mut headers = HeaderMap::with_capacity(USUAL_HEADERS);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut response = Response::new(Body::from(body));
        *response.headers_mut() = headers;
        response
    }
}
