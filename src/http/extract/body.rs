//! Extractors of bodies.
//!
//! `RequestBodyLimitLayer` is not used: its rejections are not JSON.

use std::io::Read;
use std::mem;

use axum::body::{Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

use super::text;
use crate::app::App;
use crate::event::Refusal;
use crate::fair_share::Share;
use crate::field_name::is_like_a_field;
use crate::http::error::ApiError;
use crate::http::middleware::request_context::RequestContext;

/// What a route accepts as a body.
#[derive(Debug, Clone, Copy)]
struct Accepted {
    /// The maximum size, in bytes; of a compressed body also when it is inflated.
    max_bytes: usize,
    /// The message if it is larger.
    too_large: &'static str,
    /// Whether it may be compressed with gzip.
    gzip: bool,
}

/// What most routes accept.
const PLAIN: Accepted =
    Accepted { max_bytes: 64 * 1024, too_large: "The body must not exceed 64 KiB", gzip: false };

/// The form of a page has one short field.
const FORM: Accepted =
    Accepted { max_bytes: 4 * 1024, too_large: "The form must not exceed 4 KiB", gzip: false };

const EVENT: Accepted = Accepted { gzip: true, ..PLAIN };

const BATCH: Accepted =
    Accepted { max_bytes: 1024 * 1024, too_large: "The body must not exceed 1 MiB", gzip: true };

/// The whole body of a batch of events, by its format.
#[derive(Debug)]
pub enum BatchBytes {
    /// One JSON value.
    Json(Bytes),
    /// One JSON value per line.
    Lines(Bytes),
}

impl FromRequest<App> for BatchBytes {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let (media_type, body) = (media_type(request.headers()), read(request, app, BATCH).await?);
        match media_type.as_deref() {
            Some("application/x-ndjson") => Ok(Self::Lines(text::utf8(body)?)),
            said if body.is_empty() || is_json(said) => Ok(Self::Json(text::utf8(body)?)),
            _ => Err(ApiError::NotJsonType("Content-Type must be application/json or application/x-ndjson")),
        }
    }
}

/// The whole body of an event, in JSON; possibly empty.
#[derive(Debug)]
pub struct EventBytes(pub(super) Bytes);

impl FromRequest<App> for EventBytes {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        json(request, app, EVENT).await.map(Self)
    }
}

/// Any body, which is ignored.
#[derive(Debug)]
pub struct AnyBody;

impl FromRequest<App> for AnyBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        read(request, app, PLAIN).await.map(|_: Bytes| Self)
    }
}

/// The form of a page, as its fields and their values in their order.
pub struct FormBody(Vec<(String, String)>);

impl FromRequest<App> for FormBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let (media_type, body) = (media_type(request.headers()), read(request, app, FORM).await?);
        if !body.is_empty() && media_type.as_deref() != Some("application/x-www-form-urlencoded") {
            return Err(ApiError::NotJsonType("Content-Type must be application/x-www-form-urlencoded"));
        }
        Ok(Self(url::form_urlencoded::parse(&body).into_owned().collect()))
    }
}

impl FormBody {
    /// Returns the value of a field; an empty text if it is not there.
    #[must_use]
    pub fn value(&self, field: &str) -> &str {
        self.0.iter().find(|(name, _)| name == field).map_or("", |(_, value)| value)
    }
}

/// A JSON body, parsed as `T`. An empty body counts as `null`, so that `Option<T>` makes it optional.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let body = json(request, app, PLAIN).await?;
        let text: &[u8] = if body.is_empty() { b"null" } else { &body };
        if text.trim_ascii_start().starts_with(b"[") && serde_json::from_slice::<IgnoredAny>(text).is_ok() {
            // It would be taken for the fields in their order.
            return Err(ApiError::InvalidBody("must be a JSON object".to_owned()));
        }
        serde_json::from_slice(text).map(Self).map_err(|error| match error.classify() {
            Category::Data | Category::Io => ApiError::InvalidBody(describe(&error)),
            Category::Syntax | Category::Eof => {
                ApiError::Event(Refusal::NotJson { line: error.line(), column: error.column() })
            }
        })
    }
}

/// Returns why a JSON body does not have the right form. Of the messages of `serde`, only those about missing, repeated and unknown
/// fields are passed on, the last if the field looks like one: the others quote the body.
fn describe(error: &serde_json::Error) -> String {
    let told = error.to_string();
    if told.starts_with("missing field ") || told.starts_with("duplicate field ") {
        return told;
    }
    let unknown = told.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`'));
    if let Some((name, _)) = unknown.filter(|(name, _)| is_like_a_field(name)) {
        return format!("unknown field: {name}");
    }
    let (line, column) = (error.line(), error.column());
    format!("unknown field or wrong type at line {line}, column {column}")
}

/// Reads a body of JSON, which may be empty.
async fn json(request: Request, app: &App, accepted: Accepted) -> Result<Bytes, ApiError> {
    let (media_type, body) = (media_type(request.headers()), read(request, app, accepted).await?);
    if !body.is_empty() && !is_json(media_type.as_deref()) {
        return Err(ApiError::NotJsonType("Content-Type must be application/json"));
    }
    text::utf8(body)
}

/// Reads the whole body. Then the request takes its place among those in flight, not before: a client may take its time.
async fn read(request: Request, app: &App, accepted: Accepted) -> Result<Bytes, ApiError> {
    let is_gzip = is_gzip(request.headers(), accepted)?;
    let context = RequestContext::of(request.extensions()).clone();
    let tenant = context.tenant();
    let memory = app.body_memory.take(tenant.clone(), 0).ok_or(ApiError::Overloaded)?;
    let mut buffer = Buffer { bytes: Vec::new(), memory, accepted };
    let mut body = request.into_body();
    if body.size_hint().lower() > accepted.max_bytes as u64 {
        // Before the first read, which would ask a client that waits for `100 Continue` to send it.
        return Err(ApiError::TooLarge(accepted.too_large));
    }
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_: _| ApiError::BadRequest("The request body is incomplete"))?;
        buffer.add(frame.data_ref().map_or(&[], AsRef::as_ref))?;
    }
    let place = app.in_flight.take(tenant, 1).ok_or(ApiError::Overloaded)?;
    if is_gzip && !buffer.bytes.is_empty() {
        buffer.inflate()?;
    }
    context.hold([buffer.memory, place]);
    Ok(buffer.bytes.into())
}

/// Bytes of a body, with the memory that they may occupy.
struct Buffer {
    bytes: Vec<u8>,
    memory: Share,
    accepted: Accepted,
}

impl Buffer {
    fn add(&mut self, more: &[u8]) -> Result<(), ApiError> {
        let (max, wanted) = (self.accepted.max_bytes, self.bytes.len() + more.len());
        if wanted > max {
            return Err(ApiError::TooLarge(self.accepted.too_large));
        }
        let capacity = self.bytes.capacity();
        if wanted > capacity {
            let grown = wanted.max(capacity * 2).min(max);
            if !self.memory.grow(grown - capacity) {
                return Err(ApiError::Overloaded);
            }
            self.bytes.reserve_exact(grown - self.bytes.len());
        }
        self.bytes.extend_from_slice(more);
        Ok(())
    }

    /// Replaces compressed bytes with what they contain.
    fn inflate(&mut self) -> Result<(), ApiError> {
        let compressed = mem::take(&mut self.bytes);
        let mut inflater = MultiGzDecoder::new(compressed.as_slice());
        let mut piece = [0; 16 * 1024];
        loop {
            match inflater.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(length) => self.add(&piece[..length])?,
                Err(_) => return Err(ApiError::BadRequest("The body is not valid gzip")),
            }
        }
    }
}

/// Returns whether the body is compressed with gzip (RFC 9110, section 8.4). No other coding is accepted.
fn is_gzip(headers: &HeaderMap, accepted: Accepted) -> Result<bool, ApiError> {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    let coding = codings.next().map_or(&b""[..], HeaderValue::as_bytes).trim_ascii();
    let is_gzip = coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip");
    let is_plain = coding.is_empty() || coding.eq_ignore_ascii_case(b"identity");
    match (codings.next(), accepted.gzip) {
        (None, true) if is_gzip || is_plain => Ok(is_gzip),
        (None, false) if is_plain => Ok(false),
        (_, true) => Err(ApiError::UnsupportedCoding("gzip", "Content-Encoding must be gzip or absent")),
        (_, false) => Err(ApiError::UnsupportedCoding("identity", "Content-Encoding must be absent")),
    }
}

/// Returns the content type without its parameters, in lower case.
fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().unwrap_or_default();
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

fn is_json(media_type: Option<&str>) -> bool {
    media_type.is_some_and(|media_type| {
        media_type == "application/json"
            || (media_type.starts_with("application/") && media_type.ends_with("+json"))
    })
}
