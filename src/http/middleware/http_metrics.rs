//! Metrics of HTTP requests.

use axum::http::Method;
use axum::http::response::Parts;

use super::request_context::RequestContext;
use crate::app::App;

/// Records a request and its duration by method, route pattern and status.
pub fn measure(app: &App, context: &RequestContext, response: &Parts) {
    let (method, route) = (context.method(), context.route());
    app.metrics.observe_http(method, route, response.status.as_str(), context.elapsed());
}

/// Returns the method, or `other` if it is not a standard one: a scanner must not create series.
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
