//! Request ids: the caller's own if it is safe, otherwise a new one.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use uuid::Uuid;

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

/// Returns whether an id is a UUID, with or without hyphens. Any other may be a text that identifies a person.
#[must_use]
pub fn is_uuid(id: &str) -> bool {
    matches!(id.len(), 32 | 36) && Uuid::try_parse(id).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_usual_forms_of_a_uuid_are_one() {
        for (id, expected) in [
            ("67e55044-10b1-426f-9247-bb680e5fe0c8", true),
            ("67E5504410B1426F9247BB680E5FE0C8", true),
            ("67e55044-10b1-426f-9247-bb680e5fe0c", false),
            ("67e5504410b1-426f-9247-bb680e5fe0c8aa", false),
            ("ana.mueller-ana.mueller-ana.mueller-", false),
            ("491512345678", false),
            ("", false),
        ] {
            assert_eq!(is_uuid(id), expected, "{id}");
        }
    }
}
