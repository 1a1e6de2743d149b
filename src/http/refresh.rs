//! `POST /refresh-metrics`.

use axum::Json;
use serde::Serialize;

use super::extract::AnyBody;
use crate::app::App;
use crate::clock::timestamp;

/// The body of the response.
#[derive(Debug, Serialize)]
pub struct RefreshResponse {
    status: &'static str,
    message: &'static str,
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
