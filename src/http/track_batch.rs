//! `POST /track/batch`.

use axum::Json;
use axum::http::StatusCode;
use serde::Serialize;

use super::error::{ApiError, error_text};
use super::extract::EventBatch;
use super::track::why_unkept;
use crate::app::App;
use crate::clock::timestamp;
use crate::event::Event;
use crate::ingest::{Destination, Tracked};

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
type Fate = Result<Tracked, ApiError>;

/// `POST /track/batch`: stores the valid events of a batch together, and reports why the others are rejected.
pub async fn track(app: App, batch: EventBatch) -> Result<(StatusCode, Json<BatchResponse>), ApiError> {
    let events = batch.into_events(app.clock.now())?;
    let fates = keep(&app, events).await?;
    answer(&app, fates)
}

/// Stores the valid events together. Returns the outcomes of all events, in order.
async fn keep(app: &App, events: Vec<Result<Event, ApiError>>) -> Result<Vec<Fate>, ApiError> {
    let (mut good, mut fates) = (Vec::new(), Vec::with_capacity(events.len()));
    for event in events {
        fates.push(event.map(|event| good.push(event)));
    }
    let kept = if good.is_empty() { Vec::new() } else { app.ingest.track_all(good).await? };
    let mut kept = kept.into_iter();
    let fates = fates
        .into_iter()
        .map(|fate| fate.and_then(|()| kept.next().ok_or(ApiError::Internal)?.map_err(ApiError::from)));
    Ok(fates.collect())
}

fn answer(app: &App, fates: Vec<Fate>) -> Result<(StatusCode, Json<BatchResponse>), ApiError> {
    let (mut kept, mut rejected, mut unavailable) = (Vec::new(), Vec::new(), None);
    let denied = fates.iter().all(|fate| *fate == Err(ApiError::BusinessDenied));
    for (index, fate) in fates.into_iter().enumerate() {
        match fate {
            Ok(tracked) => kept.push(tracked),
            Err(error) => {
                rejected.push(Rejected { index, error: error_text(&error) });
                unavailable = unavailable.or(Some(error).filter(|error| error.status().is_server_error()));
            }
        }
    }
    if denied {
        return Err(ApiError::BusinessDenied);
    }
    if kept.is_empty() {
        let first = rejected.swap_remove(0).error;
        return Err(unavailable.unwrap_or(ApiError::AllRefused(first)));
    }
    let count = |place: Destination| kept.iter().filter(|tracked| tracked.destination == place).count();
    let unkept = Some(count(Destination::CountedOnly)).filter(|unkept| *unkept > 0);
    let duplicates = kept.iter().filter(|tracked| tracked.duplicate).count();
    let (code, status, message) = super::track::outcome(count(Destination::Spool) > 0);
    let response = BatchResponse {
        status,
        message,
        accepted: kept.len() - duplicates,
        duplicates,
        unkept,
        reason: unkept.map(|_| why_unkept(&app.config)),
        rejected,
        prometheus_updated: true,
        database_stored: count(Destination::Store) == kept.len(),
        timestamp: timestamp(app.clock.now()),
    };
    Ok((code, Json(response)))
}
