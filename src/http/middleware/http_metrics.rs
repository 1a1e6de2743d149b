//! Counts requests and measures how long they take.

use std::time::Instant;

use axum::extract::Request;
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use super::request_context::RequestContext;
use crate::app::App;

/// Counts a request under its method, the pattern of its route and the status of its answer.
pub async fn measure(app: App, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = method_label(request.method());
    let context = RequestContext::of(request.extensions()).clone();
    let response = next.run(request).await;
    app.metrics.observe_http(method, context.route(), response.status().as_str(), begun.elapsed());
    response
}

/// Returns the method, or one word for all that are not standard: a scanner must not add series.
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
