//! `POST /track/batch`.

use axum::extract::{FromRequest, Request};
use axum::response::Response;

use serde_json::json;

use super::batch::{reply, respond, store_valid};
use super::error::ApiError;
use super::extract::{EventBatch, MAX_EVENTS, idempotency_shape};
use super::openapi::{Doc, Group};
use super::track::{TRACKED, example, refusals};
use crate::app::App;
use crate::event::Event;
use crate::shape::Shape;

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

/// What the API document says of [`track`].
pub(super) fn doc() -> Doc {
    let events = Shape::list(Shape::component("Event"), 1..=MAX_EVENTS);
    let events = events
        .about("The events. Each that is not valid is listed in `rejected`, whatever becomes of the others");
    let doc = Doc::new(Group::Events, "trackBatch", "Report up to 1,000 AI interactions")
        .about(
            "Valid events are committed together. Each entry of `rejected` has the `index` of an event, from 0, and the `error` that \
             `/track` returns. With `Content-Type: application/x-ndjson` each line is an event. At most 1 MiB, also when it is inflated.",
        )
        .header("Idempotency-Key", idempotency_shape())
        .component("Event", Event::shape())
        .body("EventBatch", Shape::open().required("events", events), json!({"events": [example()]}))
        .takes("application/x-ndjson", Shape::string(), None)
        .replies(reply(200, "The valid events are stored", TRACKED))
        .replies(reply(202, "Some are safe on the disk of the service, because the database is away", "Metrics accepted; database unavailable"))
        .fails(ApiError::AllRefused("Invalid value for field: tokens_used".to_owned()), "every event is refused; the text is that of the first");
    refusals(doc)
}
