//! `GET /health/live` and `GET /health/ready`, for orchestrators.

use axum::Json;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::error::ApiError;
use super::openapi::{Doc, Group, Reply};
use crate::app::App;

const STOPPING: ApiError = ApiError::NotReady("The service is shutting down");

/// The body of the responses.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProbeResponse {
    /// `live` or `ready`.
    status: &'static str,
}

/// `GET /health/live`: reports that the process is alive.
pub async fn live() -> Json<ProbeResponse> {
    Json(ProbeResponse { status: "live" })
}

/// `GET /health/ready`: reports whether events can be accepted, by the database or by the spool.
pub async fn ready(app: App) -> Result<Json<ProbeResponse>, ApiError> {
    if app.stopping.is_cancelled() {
        return Err(STOPPING);
    }
    let stores = app.ingest.is_ready() && app.database_answers().await;
    if !stores && !app.ingest.can_spool() {
        return Err(ApiError::NotReady("The database cannot take events"));
    }
    Ok(Json(ProbeResponse { status: "ready" }))
}

/// What the API document says of [`live`].
pub(super) fn live_doc() -> Doc {
    Doc::new(Group::Service, "isLive", "See whether the process is alive, for orchestrators")
        .replies(Reply::json::<ProbeResponse>(200, "It is", json!({"status": "live"})))
}

/// What the API document says of [`ready`].
pub(super) fn ready_doc() -> Doc {
    Doc::new(Group::Service, "isReady", "See whether events can be taken, for orchestrators")
        .replies(Reply::json::<ProbeResponse>(200, "They can", json!({"status": "ready"})))
        .fails(
            STOPPING,
            "neither the database nor the spool can take events, or the service is shutting down",
        )
}
