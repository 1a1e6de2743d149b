//! Texts that browsers keep, and ask each time whether they have changed.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use crate::app::Tagged;

/// Returns the entity tag of a text. It is weak, because a compressed text has the same.
pub(super) fn tag(content: &str) -> String {
    format!("W/\"{}\"", hex::encode(&Sha256::digest(content)[..8]))
}

/// Returns a text with its entity tag.
pub(super) fn tagged(content: String) -> Tagged {
    Tagged { tag: tag(&content), content: content.into() }
}

/// Returns the response with a text; without the text if the request names its tag.
pub(super) fn respond(
    content_type: &'static str,
    content: impl Into<Body>,
    tag: &str,
    headers: &HeaderMap,
) -> Response {
    let kept = [(CACHE_CONTROL, "no-cache"), (ETAG, tag)];
    if headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, kept).into_response();
    }
    (kept, [(CONTENT_TYPE, content_type)], content.into()).into_response()
}
