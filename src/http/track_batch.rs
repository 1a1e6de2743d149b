//! `POST /track/batch`.

use axum::Json;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::error::{ApiError, error_text};
use super::extract::EventBatch;
use super::track::why_unkept;
use crate::app::App;
use crate::clock::timestamp;
use crate::event::Event;
use crate::fair_share::Tenant;
use crate::ingest::{Destination, Tracked};
use crate::security::{Incident, SecurityEvent};

/// The body of the response to a batch, unless all its events are rejected.
#[derive(Debug, Serialize)]
pub struct BatchResponse {
    status: &'static str,
    message: &'static str,
    accepted: usize,
    duplicates: usize,
    /// How many events are counted but not stored; `reason` is why.
    #[serde(skip_serializing_if = "Option::is_none")]
    unkept: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    rejected: Vec<Rejected>,
    prometheus_updated: bool,
    database_stored: bool,
    timestamp: String,
}

/// A rejected event.
#[derive(Debug, Serialize)]
struct Rejected {
    /// Its index in the batch, from 0.
    index: usize,
    error: String,
}

/// The outcome for one event.
type EventResult = Result<Tracked, ApiError>;

/// `POST /track/batch`: tracks the valid events of a batch together, and reports why the others are rejected.
pub async fn track(app: App, request: Request) -> Result<Response, ApiError> {
    // Begun before the body is read, as for `/track`.
    let mut attempt = app.tracked.begin(app.clock.now());
    let batch = EventBatch::from_request(request, &app).await?;
    let tenant = batch.tenant();
    let events = batch.into_events(app.clock.now())?;
    attempt.of_events(events.len());
    let results = track_valid(&app, events, tenant).await?;
    attempt.succeed(results.iter().filter(|result| result.is_ok()).count());
    let denied = results.iter().filter(|result| **result == Err(ApiError::BusinessDenied)).count() as u64;
    let mut response = respond(&app, results).into_response();
    if denied > 0 {
        // Each business that a caller tries counts, whatever became of the rest.
        let incident = Incident::new(SecurityEvent::BusinessDenied, None).repeated(denied);
        response.extensions_mut().insert(incident);
    }
    Ok(response)
}

/// Tracks the valid events together. Returns the outcomes of all events, in order.
async fn track_valid(
    app: &App,
    events: Vec<Result<Event, ApiError>>,
    tenant: Tenant,
) -> Result<Vec<EventResult>, ApiError> {
    let (mut valid, mut checked) = (Vec::new(), Vec::with_capacity(events.len()));
    for event in events {
        checked.push(event.map(|event| valid.push(event)));
    }
    let tracked = if valid.is_empty() { Vec::new() } else { app.ingest.track_all(valid, tenant).await? };
    let mut tracked = tracked.into_iter();
    let results = checked
        .into_iter()
        .map(|event| event.and_then(|()| tracked.next().ok_or(ApiError::Internal)?.map_err(ApiError::from)));
    Ok(results.collect())
}

fn respond(app: &App, results: Vec<EventResult>) -> Result<(StatusCode, Json<BatchResponse>), ApiError> {
    let (mut tracked_events, mut rejected, mut unavailable) = (Vec::new(), Vec::new(), None);
    let denied = results.iter().all(|result| *result == Err(ApiError::BusinessDenied));
    for (index, result) in results.into_iter().enumerate() {
        match result {
            Ok(tracked) => tracked_events.push(tracked),
            Err(error) => {
                rejected.push(Rejected { index, error: error_text(&error) });
                unavailable = unavailable.or(Some(error).filter(|error| error.status().is_server_error()));
            }
        }
    }
    if denied {
        return Err(ApiError::BusinessDenied);
    }
    if tracked_events.is_empty() {
        let first = rejected.swap_remove(0).error;
        return Err(unavailable.unwrap_or(ApiError::AllRefused(first)));
    }
    let count = |destination: Destination| {
        tracked_events.iter().filter(|tracked| tracked.destination == destination).count()
    };
    let unkept = Some(count(Destination::CountedOnly)).filter(|unkept| *unkept > 0);
    let duplicates = tracked_events.iter().filter(|tracked| tracked.duplicate).count();
    let (code, status, message) = super::track::outcome(count(Destination::Spool) > 0);
    let response = BatchResponse {
        status,
        message,
        accepted: tracked_events.len() - duplicates,
        duplicates,
        unkept,
        reason: unkept.map(|_| why_unkept(&app.config)),
        rejected,
        prometheus_updated: true,
        database_stored: count(Destination::Store) == tracked_events.len(),
        timestamp: timestamp(app.clock.now()),
    };
    Ok((code, Json(response)))
}
