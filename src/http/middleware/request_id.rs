//! Request ids: the caller's own if it is safe, otherwise a new one.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};

/// The header with the request id.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The maximum length of a request id that is accepted from a caller.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// Removes an id that must not appear in logs and responses, so that `SetRequestIdLayer` adds a new one.
pub fn remove_insane(mut request: Request) -> Request {
    if request.headers().get(X_REQUEST_ID).is_some_and(|id| !is_sane(id)) {
        request.headers_mut().remove(X_REQUEST_ID);
    }
    request
}

fn is_sane(id: &HeaderValue) -> bool {
    (1..=MAX_REQUEST_ID_BYTES).contains(&id.len())
        && id.as_bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte))
}
