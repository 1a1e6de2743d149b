//! `POST /refresh-metrics`.

use axum::Json;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::extract::AnyBody;
use super::openapi::{Doc, Group, Reply};
use crate::app::App;
use crate::clock::timestamp;

/// The body of the response.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefreshResponse {
    status: &'static str,
    message: &'static str,
    #[schema(format = DateTime)]
    timestamp: String,
}

/// `POST /refresh-metrics`: counts the rows that other programs inserted, and reloads the totals.
pub async fn refresh(app: App, _: AnyBody) -> Json<RefreshResponse> {
    let (status, message) = match app.ingest.refresh().await {
        true => ("success", "Prometheus metrics refreshed from database"),
        false => ("warning", "Could not fetch from database, using current metrics"),
    };
    Json(RefreshResponse { status, message, timestamp: timestamp(app.clock.now()) })
}

/// What the API document says of [`refresh`].
pub(super) fn doc() -> Doc {
    let example = json!({
        "status": "success",
        "message": "Prometheus metrics refreshed from database",
        "timestamp": "2026-11-23T11:33:30.729961+00:00",
    });
    Doc::new(Group::Service, "refreshMetrics", "Count what other programs inserted, and reload all totals")
        .about("Takes any body, or none. If the database cannot be read, `status` is `warning`, and the metrics stay as they are.")
        .replies(Reply::json::<RefreshResponse>(200, "The totals were reloaded, or why they were not", example))
}
