//! The name of a request: the caller's own, if it is a sane one, else a new one.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};

/// The header that names a request.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest request id that is taken over from a caller.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// Removes a name that must not get into logs and answers, so that `SetRequestIdLayer` makes a new one.
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
