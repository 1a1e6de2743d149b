//! `POST /track`.

use std::sync::LazyLock;

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::error::ApiError;
use super::extract::JsonBytes;
use super::json::{Json, Stamped};
use super::observe::Trace;
use crate::app::App;
use crate::clock::timestamp;
use crate::config::Config;
use crate::event::{MAX_KEY_CHARS, Report};
use crate::ingest::{Destination, Tracked};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The body of a successful answer.
#[derive(Debug, Serialize)]
pub struct Answer {
    status: &'static str,
    message: &'static str,
    prometheus_updated: bool,
    database_stored: bool,
    /// Why it is counted and not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    duplicate: bool,
    timestamp: String,
}

/// What becomes of nearly every event, and how that is answered.
const USUAL: Tracked = Tracked { duplicate: false, destination: Destination::Store };
static USUAL_ANSWER: LazyLock<Stamped> =
    LazyLock::new(|| Stamped::new(|timestamp| answer(USUAL, "", timestamp).1));

/// `POST /track`: keeps one event; answers once it is committed, 200 to the store or 202 to the spool.
pub async fn track(app: App, request: Request) -> Result<Response, ApiError> {
    let attempt = app.tracked.begin(app.clock.now());
    let tracked = keep(&app, request).await?;
    attempt.succeed();
    let now = app.clock.now();
    if tracked == USUAL {
        return Ok(USUAL_ANSWER.at(now));
    }
    let (code, answer) = answer(tracked, why_unkept(&app.config), timestamp(now));
    Ok((code, Json(answer)).into_response())
}

fn answer(tracked: Tracked, why_unkept: &'static str, timestamp: String) -> (StatusCode, Answer) {
    let (code, status, message) = outcome(tracked.destination == Destination::Spool);
    let answer = Answer {
        status,
        message,
        prometheus_updated: true,
        database_stored: tracked.destination == Destination::Store,
        reason: (tracked.destination == Destination::CountedOnly).then_some(why_unkept),
        duplicate: tracked.duplicate,
        timestamp,
    };
    (code, answer)
}

/// Status code, status and message of an answer about events, some of which may be in the spool.
pub(super) const fn outcome(spooled: bool) -> (StatusCode, &'static str, &'static str) {
    match spooled {
        false => (StatusCode::OK, "success", "Metrics tracked successfully"),
        true => (StatusCode::ACCEPTED, "accepted", "Metrics accepted; database unavailable"),
    }
}

/// Why an event is counted and not kept. Where consent is not required, it is one that comes again after its row was
/// erased.
pub(super) const fn why_unkept(config: &Config) -> &'static str {
    if config.consent_required { "no consent" } else { "not kept" }
}

async fn keep(app: &App, request: Request) -> Result<Tracked, ApiError> {
    let key = idempotency_key(request.headers())?;
    let trace = Trace::of(request.extensions()).clone();
    let JsonBytes(body) = JsonBytes::from_request(request, app).await?;
    let event = Report::parse(&body)?.into_event(key.as_deref(), app.clock.now())?;
    if !trace.principal().may_use(&event.business_id) {
        return Err(ApiError::BusinessDenied);
    }
    Ok(app.ingest.track(event).await?)
}

/// The header that may stand in for `event_id`: a UUID or any other name, bare or as a quoted string.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let must_be = "Idempotency-Key must be at most 255 printable ASCII characters";
    let printable = value.to_str().ok().filter(|text| !text.contains('\t'));
    let text = printable.ok_or(ApiError::InvalidValue("Idempotency-Key", must_be))?;
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    match bare.len() {
        0 => Ok(None),
        1..=MAX_KEY_CHARS => Ok(Some(bare.to_owned())),
        _ => Err(ApiError::InvalidValue("Idempotency-Key", must_be)),
    }
}
