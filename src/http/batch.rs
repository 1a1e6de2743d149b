//! What `POST` requests with many items have in common: valid items are stored together, whatever is wrong with the others.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::error::{ApiError, error_text};
use super::openapi::Reply;
use super::track::{outcome, why_unkept};
use crate::app::App;
use crate::clock::timestamp;
use crate::ingest::{Destination, Tracked};
use crate::security::{Incident, SecurityEvent};

/// The body of the response to a batch, unless all its items are rejected.
#[derive(Debug, Serialize, ToSchema)]
struct BatchResponse {
    status: &'static str,
    message: &'static str,
    accepted: usize,
    duplicates: usize,
    /// How many items are counted but not stored; `reason` is why.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    unkept: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<&'static str>,
    rejected: Vec<Rejected>,
    prometheus_updated: bool,
    database_stored: bool,
    #[schema(format = DateTime)]
    timestamp: String,
}

/// A rejected item.
#[derive(Debug, Serialize, ToSchema)]
struct Rejected {
    /// Its index in the batch, from 0.
    index: usize,
    error: String,
}

/// The result for one item.
pub(super) type ItemResult = Result<Tracked, ApiError>;

/// Has `store` store the valid items together. Returns the results of all items, in order.
pub(super) async fn store_valid<T>(
    items: Vec<Result<T, ApiError>>,
    store: impl AsyncFnOnce(Vec<T>) -> Result<Vec<ItemResult>, ApiError>,
) -> Result<Vec<ItemResult>, ApiError> {
    let (mut valid, mut checked) = (Vec::new(), Vec::with_capacity(items.len()));
    for item in items {
        checked.push(item.map(|item| valid.push(item)));
    }
    let stored = if valid.is_empty() { Vec::new() } else { store(valid).await? };
    let mut stored = stored.into_iter();
    let results =
        checked.into_iter().map(|item| item.and_then(|()| stored.next().ok_or(ApiError::Internal)?));
    Ok(results.collect())
}

/// Responds with the results of a batch. `message` is that of a batch that is in the store.
pub(super) fn respond(app: &App, results: Vec<ItemResult>, message: &'static str) -> Response {
    let denied = results.iter().filter(|result| **result == Err(ApiError::BusinessDenied)).count() as u64;
    let mut response = body(app, results, message).into_response();
    if denied > 0 {
        // Each business that a caller tries counts, whatever became of the rest.
        let incident = Incident::new(SecurityEvent::BusinessDenied, None).repeated(denied);
        response.extensions_mut().insert(incident);
    }
    response
}

fn body(
    app: &App,
    results: Vec<ItemResult>,
    message: &'static str,
) -> Result<(StatusCode, Json<BatchResponse>), ApiError> {
    let (mut stored, mut rejected, mut unavailable) = (Vec::new(), Vec::new(), None);
    let denied = results.iter().all(|result| *result == Err(ApiError::BusinessDenied));
    for (index, result) in results.into_iter().enumerate() {
        match result {
            Ok(tracked) => stored.push(tracked),
            Err(error) => {
                rejected.push(Rejected { index, error: error_text(&error) });
                unavailable = unavailable.or(Some(error).filter(|error| error.status().is_server_error()));
            }
        }
    }
    if denied {
        return Err(ApiError::BusinessDenied);
    }
    if stored.is_empty() {
        let first = rejected.swap_remove(0).error;
        return Err(unavailable.unwrap_or(ApiError::AllRefused(first)));
    }
    let count =
        |destination: Destination| stored.iter().filter(|tracked| tracked.destination == destination).count();
    let unkept = Some(count(Destination::CountedOnly)).filter(|unkept| *unkept > 0);
    let duplicates = stored.iter().filter(|tracked| tracked.duplicate).count();
    let (code, status, message) = outcome(count(Destination::Spool) > 0, message);
    let response = BatchResponse {
        status,
        message,
        accepted: stored.len() - duplicates,
        duplicates,
        unkept,
        reason: unkept.map(|_| why_unkept(&app.config)),
        rejected,
        prometheus_updated: true,
        database_stored: count(Destination::Store) == stored.len(),
        timestamp: timestamp(app.clock.now()),
    };
    Ok((code, Json(response)))
}

/// Returns the response to a batch, for the API document.
pub(super) fn reply(status: u16, meaning: &str, message: &str) -> Reply {
    let example = json!({
        "status": if status == 200 { "success" } else { "accepted" },
        "message": message,
        "accepted": 1,
        "duplicates": 0,
        "rejected": [{"index": 1, "error": "Invalid value for field: tokens_used"}],
        "prometheus_updated": true,
        "database_stored": status == 200,
        "timestamp": "2026-11-25T00:33:30.625757+00:00",
    });
    Reply::json::<BatchResponse>(status, meaning, example)
}
