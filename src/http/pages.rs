//! Pages for people: rendered on the server, without inline scripts and styles, and with nothing of other origins.
//!
//! To add a page, write its handler in a file below, which returns [`page`], and add its row to the table with
//! `Access::Page` and `QuotaOf::Pages`: then signing in, errors as pages and compression come by themselves.

pub mod business;
pub mod businesses;
pub(super) mod doc;
pub mod error;
pub(in crate::http) mod reader;
pub mod statement;

use askama::Template;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use axum::http::{HeaderName, StatusCode};
use axum::response::{Html, IntoResponse, Response};

use super::error::ApiError;
pub(in crate::http) use crate::pages::{BUSINESSES, path_of_business};

/// All that a page loads comes from the same origin, and nothing is inline. Forms go to the same origin.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The headers of pages. With `no-referrer`, browsers would send `Origin: null` with forms.
const HEADERS: [(HeaderName, &str); 3] =
    [(CONTENT_SECURITY_POLICY, POLICY), (REFERRER_POLICY, "same-origin"), (CACHE_CONTROL, "no-store")];

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
