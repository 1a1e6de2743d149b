//! `GET /metrics`.

use axum::Extension;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderName};
use axum::response::IntoResponse;

use super::error::ApiError;
use super::middleware::request_context::RequestContext;
use super::openapi::{Doc, Group, Reply};
use crate::app::App;
use crate::metrics::Closer;
use crate::shape::Shape;

/// `GET /metrics`: returns all metrics in the Prometheus text format.
pub async fn text(
    app: App,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, ApiError> {
    let is_gzip = accepts_gzip(&headers);
    let connection = context.connection().cloned();
    let closer = connection.map(|connection| -> Closer { Box::new(move || connection.close()) });
    app.ingest.catch_up(&app.store).await;
    let page = app.metrics.page(is_gzip, closer).await.ok_or(ApiError::Overloaded)?;
    let encoding: Option<[(HeaderName, &str); 1]> = is_gzip.then_some([(CONTENT_ENCODING, "gzip")]);
    let kind = [(CONTENT_TYPE, crate::metrics::CONTENT_TYPE), (VARY, ACCEPT_ENCODING.as_str())];
    Ok((kind, encoding, page))
}

/// Returns whether `Accept-Encoding` names gzip without ruling it out (RFC 9110, section 12.5.3).
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| {
        let (coding, weight) = item.split_once(';').unwrap_or((item, ""));
        let is_ruled_out = weight.trim().trim_start_matches("q=").trim().parse() == Ok(0.0);
        coding.trim().eq_ignore_ascii_case("gzip") && !is_ruled_out
    })
}

/// What the API document says of [`text`].
pub(super) fn doc() -> Doc {
    let text = ("text/plain", Shape::string(), None);
    Doc::new(Group::Service, "getMetrics", "Scrape all metrics")
        .about("The text format of Prometheus, version 0.0.4; compressed for whoever accepts gzip.")
        .replies(Reply::new(200, "The metrics").of(text).with("Vary", "`Accept-Encoding`"))
}
