//! `POST /track/batch`.

use axum::extract::{FromRequest, Request};
use axum::response::Response;

use super::batch::{respond, store_valid};
use super::error::ApiError;
use super::extract::EventBatch;
use super::track::TRACKED;
use crate::app::App;

/// `POST /track/batch`: tracks the valid events of a batch together, and reports why the others are rejected.
pub async fn track(app: App, request: Request) -> Result<Response, ApiError> {
    // Begun before the body is read, as for `/track`.
    let mut attempt = app.tracked.begin(app.clock.now());
    let batch = EventBatch::from_request(request, &app).await?;
    let tenant = batch.tenant();
    let events = batch.into_events(app.clock.now())?;
    attempt.of_events(events.len());
    let results = store_valid(events, async |valid| {
        let tracked = app.ingest.track_all(valid, tenant).await?;
        Ok(tracked.into_iter().map(|tracked| tracked.map_err(ApiError::from)).collect())
    })
    .await?;
    attempt.succeed(results.iter().filter(|result| result.is_ok()).count());
    Ok(respond(&app, results, TRACKED))
}
