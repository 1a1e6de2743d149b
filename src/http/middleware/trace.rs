//! The tracing span of a request.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use tower_http::classify::{ServerErrorsAsFailures, SharedClassifier};
use tower_http::trace::TraceLayer;
use tracing::Span;

use super::request_context::RequestContext;

type MakeSpan = fn(&Request) -> Span;
type OnResponse = fn(&Response, Duration, &Span);

/// The layer that opens a span for each request.
pub type Layer = TraceLayer<SharedClassifier<ServerErrorsAsFailures>, MakeSpan, (), OnResponse, (), (), ()>;

/// Returns the layer that opens a span for each request. The span does not contain the URL, which may contain
/// secrets or personal data.
#[must_use]
pub fn layer() -> Layer {
    TraceLayer::new_for_http()
        .make_span_with(span as MakeSpan)
        .on_request(())
        .on_response(log_answer as OnResponse)
        .on_body_chunk(())
        .on_eos(())
        .on_failure(())
}

fn span(request: &Request) -> Span {
    let context = RequestContext::of(request.extensions());
    let (request_id, method) = (context.request_id(), context.method());
    let route = context.route();
    tracing::debug_span!("request", request_id, audit_id = context.own_audit_id(), method, route)
}

fn log_answer(response: &Response<Body>, took: Duration, _span: &Span) {
    tracing::debug!(status = response.status().as_u16(), ?took, "answered");
}
