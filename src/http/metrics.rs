//! `GET /metrics`.

use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use super::error::ApiError;
use crate::app::App;

/// `GET /metrics`: returns all metrics in the Prometheus text format.
pub async fn text(app: App) -> Result<impl IntoResponse, ApiError> {
    let page = app.metrics.page().await.ok_or(ApiError::Overloaded)?;
    Ok(([(CONTENT_TYPE, crate::metrics::CONTENT_TYPE)], Bytes::from_owner(page)))
}
