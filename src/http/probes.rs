//! `GET /health/live` and `GET /health/ready`, for orchestrators.

use axum::Json;
use serde_json::{Value, json};

use super::error::ApiError;
use crate::app::App;

/// `GET /health/live`: reports that the process is alive.
pub async fn live() -> Json<Value> {
    Json(json!({"status": "live"}))
}

/// `GET /health/ready`: reports whether events can be accepted, by the database or by the spool.
pub async fn ready(app: App) -> Result<Json<Value>, ApiError> {
    if app.stopping.is_cancelled() {
        return Err(ApiError::NotReady("The service is shutting down"));
    }
    let stores = app.ingest.is_ready() && app.database_answers().await;
    if !stores && !app.ingest.can_spool() {
        return Err(ApiError::NotReady("The database cannot take events"));
    }
    Ok(Json(json!({"status": "ready"})))
}
