//! `POST /track`.

use axum::Json;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::Serialize;

use super::error::ApiError;
use super::extract::EventBody;
use crate::app::App;
use crate::clock::timestamp;
use crate::config::Config;
use crate::ingest::Destination;

/// The body of a successful response.
#[derive(Debug, Serialize)]
pub struct TrackResponse {
    status: &'static str,
    message: &'static str,
    prometheus_updated: bool,
    database_stored: bool,
    /// Why the event is counted but not stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    duplicate: bool,
    timestamp: String,
}

/// `POST /track`: stores one event. Responds once it is committed, with 200 if to the store or 202 if to the
/// spool.
pub async fn track(app: App, request: Request) -> Result<(StatusCode, Json<TrackResponse>), ApiError> {
    // Counted before the body is read: a request whose body is not an event, or never arrives, has failed.
    let attempt = app.tracked.begin(app.clock.now());
    let body = EventBody::from_request(request, &app).await?;
    let tenant = body.tenant();
    let tracked = app.ingest.track(body.into_event(app.clock.now())?, tenant).await?;
    attempt.succeed(1);
    let (code, status, message) = outcome(tracked.destination == Destination::Spool, TRACKED);
    let response = TrackResponse {
        status,
        message,
        prometheus_updated: true,
        database_stored: tracked.destination == Destination::Store,
        reason: (tracked.destination == Destination::CountedOnly).then_some(why_unkept(&app.config)),
        duplicate: tracked.duplicate,
        timestamp: timestamp(app.clock.now()),
    };
    Ok((code, Json(response)))
}

/// The message of a response about events that are all in the store.
pub(super) const TRACKED: &str = "Metrics tracked successfully";

/// Returns the status code, status and message of a response; `spooled` is whether any event is in the spool, and `message` what is said
/// otherwise.
pub(super) const fn outcome(
    spooled: bool,
    message: &'static str,
) -> (StatusCode, &'static str, &'static str) {
    match spooled {
        false => (StatusCode::OK, "success", message),
        true => (StatusCode::ACCEPTED, "accepted", "Metrics accepted; database unavailable"),
    }
}

/// Returns why an event is counted but not stored. Where consent is not required, it is an event that is
/// reported again after its row was erased.
pub(super) const fn why_unkept(config: &Config) -> &'static str {
    if config.consent_required { "no consent" } else { "not kept" }
}
