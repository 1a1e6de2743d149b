//! The headers that tell browsers to be careful, on every answer.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;

use crate::config::Environment;

/// Headers and values. An answer may bring its own value, as the dashboard does with its policy.
pub const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];

/// Those that browsers heed on pages only.
const OF_PAGES: [(HeaderName, &str); 2] = [
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

/// Browsers heed it over HTTPS only, which production has in front of the service.
const STRICT_TRANSPORT: (HeaderName, &str) =
    (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000; includeSubDomains");

/// Adds the headers that an answer does not bring itself.
pub fn add_headers(response: &mut Response, environment: Environment) {
    let strict = (environment == Environment::Production).then_some(STRICT_TRANSPORT);
    let headers = response.headers_mut();
    let of_pages: &[_] = if is_page(headers) { &OF_PAGES } else { &[] };
    for (name, value) in HEADERS.iter().chain(of_pages).chain(&strict) {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    // What scripts may read concerns those of another origin alone.
    if !headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
        headers.remove(header::ACCESS_CONTROL_EXPOSE_HEADERS);
    }
}

fn is_page(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"))
}
