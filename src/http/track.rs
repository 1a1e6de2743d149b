//! `POST /track`.

use axum::Json;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::error::ApiError;
use super::extract::{EventBody, idempotency_shape};
use super::openapi::{Doc, Group, Reply};
use crate::app::App;
use crate::clock::timestamp;
use crate::config::Config;
use crate::event::{Event, Refusal};
use crate::ingest::{Destination, IngestError};

/// The body of a successful response.
#[derive(Debug, Serialize, ToSchema)]
pub struct TrackResponse {
    status: &'static str,
    message: &'static str,
    prometheus_updated: bool,
    database_stored: bool,
    /// Why the event is counted but not stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    duplicate: bool,
    #[schema(format = DateTime)]
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

/// What the API document says of [`track`].
pub(super) fn doc() -> Doc {
    let stored = json!({
        "status": "success",
        "message": TRACKED,
        "prometheus_updated": true,
        "database_stored": true,
        "timestamp": "2026-11-23T11:33:30.625757+00:00",
    });
    let spooled = json!({
        "status": "accepted",
        "message": "Metrics accepted; database unavailable",
        "prometheus_updated": true,
        "database_stored": false,
        "timestamp": "2026-11-24T11:33:30.625757+00:00",
    });
    let doc = Doc::new(Group::Events, "track", "Report one finished AI interaction")
        .about(
            "The response is 200 once the event is committed. An event with an id, `event_id` or `Idempotency-Key`, can be sent again \
             safely: a repeat is 200 with `\"duplicate\":true`, and nothing is counted twice. Other fields are ignored. The body may be \
             compressed with `Content-Encoding: gzip`, and is at most 64 KiB.",
        )
        .header("Idempotency-Key", idempotency_shape())
        .body("Event", Event::shape(), example())
        .replies(Reply::json::<TrackResponse>(200, "The event is stored; or, with a `reason`, counted and not stored", stored))
        .replies(Reply::json::<TrackResponse>(202, "The database is away: the event counts, and is safe on the disk of the service", spooled));
    refusals(doc)
}

/// Returns an event as an example.
pub(super) fn example() -> Value {
    json!({
        "business_id": "test-business",
        "conversation_id": "conv-123",
        "response_time_ms": 150,
        "tokens_used": 75,
        "api_cost_usd": 0.002,
        "intent_detected": "appointment",
        "response_type": "booking",
        "appointment_requested": false,
    })
}

/// Adds the errors that the routes for events have in common.
pub(super) fn refusals(doc: Doc) -> Doc {
    let wrong = Refusal::Invalid {
        field: "tokens_used",
        must_be: "must be a whole number from 0 to 2147483647".to_owned(),
    };
    doc.fails(Refusal::NoData, "there is no body, or it is `{}`, `null` or `[]`")
        .fails(Refusal::Missing("business_id"), "a required field is missing or null; the text names it")
        .fails(
            wrong,
            "a field, or `Idempotency-Key`, has the wrong type or is out of bounds; the text names it",
        )
        .fails(Refusal::NotJson { line: 1, column: 8 }, "the body is not JSON")
        .fails(Refusal::NotObject, "the body is JSON, but no object")
        .fails(ApiError::EventRefused, "a constraint in this installation's database forbids it")
        .fails(ApiError::BusinessDenied, "the key is bound to another business")
        .fails(
            IngestError::Unavailable,
            "neither the database nor the spool can take it now; try again with the same id",
        )
}
