//! Pages for people: rendered on the server, without inline scripts and styles, and with nothing of other origins.
//!
//! To add a page, write its handler in a file below, which returns [`page`], and add its row to the table with
//! `Access::Page` and `QuotaOf::Pages`: then signing in, errors as pages and compression come by themselves.

pub mod business;
pub mod businesses;
pub mod error;
pub mod statement;

use askama::Template;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use axum::http::{HeaderName, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::error::ApiError;

/// All that a page loads comes from the same origin, and nothing is inline. Forms go to the same origin.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The headers of pages. With `no-referrer`, browsers would send `Origin: null` with forms.
const HEADERS: [(HeaderName, &str); 3] =
    [(CONTENT_SECURITY_POLICY, POLICY), (REFERRER_POLICY, "same-origin"), (CACHE_CONTROL, "no-store")];

/// What is not escaped in a segment of a path.
const SEGMENT: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The page that lists businesses.
pub const BUSINESSES: &str = "/businesses";

/// Returns the response with a page, and the headers of pages. Text in templates is escaped by askama.
#[must_use]
pub fn page(template: &impl Template) -> Response {
    page_with(StatusCode::OK, template)
}

/// Returns the same with another status.
#[must_use]
pub fn page_with(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => (status, HEADERS, Html(html)).into_response(),
        Err(error) => {
            tracing::error!("cannot render a page: {error}");
            ApiError::Internal.into_response()
        }
    }
}

/// Returns the path of the page of a business. Its id may contain any character.
#[must_use]
pub fn path_of_business(business_id: &str) -> String {
    format!("{BUSINESSES}/{}", segment(business_id))
}

/// Returns a text as a segment of a path, percent-encoded.
#[must_use]
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, &SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_business_is_one_segment_of_this_origin() {
        for (id, path) in [
            ("acme-123_x.y~z", "/businesses/acme-123_x.y~z"),
            ("//evil.example", "/businesses/%2F%2Fevil.example"),
            ("a b?c#d%2F", "/businesses/a%20b%3Fc%23d%252F"),
            ("Bäckerei\\", "/businesses/B%C3%A4ckerei%5C"),
        ] {
            assert_eq!(path_of_business(id), path);
        }
    }
}
