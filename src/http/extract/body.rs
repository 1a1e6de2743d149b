//! Extractors of bodies.
//!
//! `RequestBodyLimitLayer` is not used: its rejections are not JSON.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::text;
use crate::event::Refusal;
use crate::http::error::ApiError;

/// The maximum size of a body.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// The maximum size of the body of a batch.
const MAX_BATCH_BYTES: usize = 1024 * 1024;

/// The whole body of a batch of events, by its format.
#[derive(Debug)]
pub enum BatchBytes {
    /// One JSON value.
    Json(Bytes),
    /// One JSON value per line.
    Lines(Bytes),
}

impl<S: Sync> FromRequest<S> for BatchBytes {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let body = read(body, MAX_BATCH_BYTES, "The body must not exceed 1 MiB").await?;
        match media_type(&parts.headers).as_deref() {
            Some("application/x-ndjson") => Ok(Self::Lines(body)),
            said if body.is_empty() || is_json_or_unsaid(said) => Ok(Self::Json(body)),
            _ => Err(ApiError::NotJsonType("Content-Type must be application/json or application/x-ndjson")),
        }
    }
}

/// The whole body, at most [`MAX_BODY_BYTES`]. Unless it is empty, its content type must be JSON or absent.
#[derive(Debug)]
pub struct JsonBytes(pub(super) Bytes);

impl<S: Sync> FromRequest<S> for JsonBytes {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let body = read(body, MAX_BODY_BYTES, "The body must not exceed 64 KiB").await?;
        if !body.is_empty() && !is_json_or_unsaid(media_type(&parts.headers).as_deref()) {
            return Err(ApiError::NotJsonType("Content-Type must be application/json"));
        }
        Ok(Self(body))
    }
}

/// A JSON body, parsed as `T`. An empty body counts as `null`, so that `Option<T>` makes it optional.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let JsonBytes(body) = JsonBytes::from_request(request, state).await?;
        let text: &[u8] = if body.trim_ascii().is_empty() { b"null" } else { &body };
        serde_json::from_slice(text).map(Self).map_err(|error| match error.classify() {
            Category::Data | Category::Io => ApiError::InvalidBody(describe(&error)),
            Category::Syntax | Category::Eof => {
                ApiError::Event(Refusal::NotJson { line: error.line(), column: error.column() })
            }
        })
    }
}

/// Returns why a JSON body does not have the right form. Of the messages of `serde`, only the one about a
/// missing field is passed on: the others quote the body.
fn describe(error: &serde_json::Error) -> String {
    let told = error.to_string();
    if told.starts_with("missing field ") {
        return told;
    }
    let (line, column) = (error.line(), error.column());
    format!("unknown field or wrong type at line {line}, column {column}")
}

/// Reads a body of at most `most` bytes; `rule` is the message if it is longer.
async fn read(body: Body, most: usize, rule: &'static str) -> Result<Bytes, ApiError> {
    match Limited::new(body, most).collect().await {
        Ok(whole) => text::utf8(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::TooLarge(rule)),
        Err(_) => Err(ApiError::BadRequest("The request body is incomplete")),
    }
}

/// Returns the content type without its parameters, in lower case.
fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().unwrap_or_default();
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

fn is_json_or_unsaid(media_type: Option<&str>) -> bool {
    media_type.is_none_or(|media_type| {
        media_type == "application/json"
            || (media_type.starts_with("application/") && media_type.ends_with("+json"))
    })
}
