//! `GET /metrics`.

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use crate::app::App;

/// `GET /metrics`: everything for Prometheus.
pub async fn text(app: App) -> impl IntoResponse {
    ([(CONTENT_TYPE, crate::metrics::CONTENT_TYPE)], app.metrics.text())
}
