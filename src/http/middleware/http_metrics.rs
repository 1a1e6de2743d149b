//! Counts requests and measures how long they take.

use axum::http::Method;
use axum::http::response::Parts;

use super::request_context::RequestContext;
use crate::app::App;

/// Counts a request under its method, the pattern of its route and the status of its answer.
pub fn measure(app: &App, context: &RequestContext, response: &Parts) {
    let (method, route) = (context.method(), context.route());
    app.metrics.observe_http(method, route, response.status.as_str(), context.elapsed());
}

/// Returns the method, or one word for all that are not standard: a scanner must not add series.
#[must_use]
pub const fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
