//! `POST /refresh-metrics`.

use serde::Serialize;

use super::json::Json;
use crate::app::App;
use crate::clock::timestamp;

/// The body of the answer.
#[derive(Debug, Serialize)]
pub struct Refreshed {
    status: &'static str,
    message: &'static str,
    timestamp: String,
}

/// `POST /refresh-metrics`: counts the rows that other programs inserted, and reads the totals anew.
pub async fn refresh(app: App) -> Json<Refreshed> {
    let (status, message) = match app.ingest.refresh().await {
        true => ("success", "Prometheus metrics refreshed from database"),
        false => ("warning", "Could not fetch from database, using current metrics"),
    };
    Json(Refreshed { status, message, timestamp: timestamp(app.clock.now()) })
}
