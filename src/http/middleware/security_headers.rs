//! The headers that tell browsers to be careful, on every answer.

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use tower_http::set_header::response::SetMultipleResponseHeadersLayer;

use crate::config::Environment;

/// Headers and values. An answer may bring its own value, as the dashboard does with its policy.
pub static SECURITY_HEADERS: [(HeaderName, HeaderValue); 5] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// Those that browsers heed on pages only.
static OF_PAGES: [(HeaderName, HeaderValue); 2] = [
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), geolocation=(), microphone=()"),
    ),
];

/// Browsers heed it over HTTPS only, which production has in front of the service.
static STRICT_TRANSPORT: (HeaderName, HeaderValue) =
    (header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000; includeSubDomains"));

/// Returns the layer that adds the headers which an answer does not bring itself.
pub fn layer(environment: Environment) -> SetMultipleResponseHeadersLayer<Response> {
    let strict = (environment == Environment::Production).then_some(&STRICT_TRANSPORT);
    let everywhere = SECURITY_HEADERS.iter().chain(strict).cloned().map(Into::into);
    let of_pages = OF_PAGES.iter().cloned().map(|(name, value)| {
        let of_page = move |response: &Response| is_page(response).then(|| value.clone());
        (name, of_page).into()
    });
    SetMultipleResponseHeadersLayer::if_not_present(everywhere.chain(of_pages).collect())
}

fn is_page(response: &Response) -> bool {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    content_type.is_some_and(|content_type| content_type.as_bytes().starts_with(b"text/html"))
}
