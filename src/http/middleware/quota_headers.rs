//! Reports the quota to callers in headers. Separate from the guard, and outside of it, because the guard
//! gets no response when a handler panics or times out.

use axum::http::response::Parts;
use axum::http::{HeaderMap, HeaderName};

use super::request_context::RequestContext;
use crate::quota::Decision;

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// The headers that report the quota.
pub const QUOTA_HEADERS: [HeaderName; 3] = [LIMIT, REMAINING, RESET];

/// Adds the quota headers to the response to a request that the guard counted.
pub fn add(context: &RequestContext, response: &mut Parts) {
    if let Some(decision) = context.accounting().and_then(|accounting| accounting.decision) {
        write(&mut response.headers, &decision);
    }
}

/// Sets the quota headers.
pub fn write(headers: &mut HeaderMap, decision: &Decision) {
    headers.insert(LIMIT, decision.window.limit.into());
    headers.insert(REMAINING, decision.remaining.into());
    headers.insert(RESET, decision.reset_seconds().into());
}
