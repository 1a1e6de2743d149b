//! Answers in JSON.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::error::ApiError;
use crate::clock::timestamp;

/// The room that most bodies need.
const USUAL_BYTES: usize = 256;

/// The headers of an answer, those that the guard and the layers around it add among them.
const USUAL_HEADERS: usize = 12;

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
        answer(body)
    }
}

/// An answer that says the same each time but for its time stamp. What stays the same is written once.
#[derive(Debug)]
pub struct Stamped {
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Stamped {
    /// The answer that `value` is with a time stamp in it; none of its other texts may have that text in it.
    ///
    /// # Panics
    ///
    /// If it cannot be written as JSON, or has no time stamp.
    pub fn new<T: Serialize>(value: impl FnOnce(String) -> T) -> Self {
        let some_time = timestamp(DateTime::UNIX_EPOCH);
        let body = serde_json::to_string(&value(some_time.clone())).expect("texts can be written as JSON");
        let (before, after) = body.split_once(&some_time).expect("it has a time stamp");
        Self { before: before.into(), after: after.into() }
    }

    /// The answer at a time.
    #[must_use]
    pub fn at(&self, time: DateTime<Utc>) -> Response {
        answer([&self.before, timestamp(time).as_bytes(), &self.after].concat())
    }
}

fn answer(body: Vec<u8>) -> Response {
    let mut headers = HeaderMap::with_capacity(USUAL_HEADERS);
    headers.insert(CONTENT_TYPE, const { HeaderValue::from_static("application/json") });
    let mut response = Response::new(Body::from(body));
    *response.headers_mut() = headers;
    response
}
