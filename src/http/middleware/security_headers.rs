//! Security headers for browsers, on every response. The layer of `tower-http` for several headers is not
//! used: it copies each of them for every request.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;

use crate::config::Environment;

/// The headers of all responses. A response may have its own value, as the dashboard does for its policy.
static SECURITY_HEADERS: [(HeaderName, HeaderValue); 5] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// Headers that browsers honour only for pages.
static OF_PAGES: [(HeaderName, HeaderValue); 2] = [
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), geolocation=(), microphone=()"),
    ),
];

/// Browsers honour it only over HTTPS, which in production is terminated in front of the service.
static STRICT_TRANSPORT: (HeaderName, HeaderValue) =
    (header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000; includeSubDomains"));

/// Returns the function that adds the headers that a response does not already have.
pub fn add(environment: Environment) -> impl Fn(Response) -> Response + Clone {
    move |mut response| {
        let headers = response.headers_mut();
        let of_pages: &[_] = if is_page(headers) { &OF_PAGES } else { &[] };
        for (name, value) in of_all(environment).chain(of_pages) {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        response
    }
}

/// Returns the headers of all responses.
pub fn of_all(environment: Environment) -> impl Iterator<Item = &'static (HeaderName, HeaderValue)> {
    let strict = (environment == Environment::Production).then_some(&STRICT_TRANSPORT);
    SECURITY_HEADERS.iter().chain(strict)
}

fn is_page(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"))
}
