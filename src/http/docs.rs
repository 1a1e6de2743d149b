//! `/docs`: the API document as pages, without a script of others.
//!
//! Everything on them comes from the document: a call that is in it is on a page.

pub(super) mod doc;
mod fields;
mod page;
mod samples;

use std::collections::BTreeMap;

use axum::http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;

use super::error::ApiError;
use super::extract::Path;
use super::pages::POLICY;
use super::tagged;
use crate::app::{App, Tagged};

/// The headers of these pages, which are the same for everybody.
const HEADERS: [(HeaderName, HeaderValue); 2] = [
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
];

/// `GET /docs`: returns the overview.
pub async fn index(app: App, headers: HeaderMap) -> Result<Response, ApiError> {
    respond(&app, page::INDEX, &headers)
}

/// `GET /docs/{group}`: returns the page of a group of calls.
pub async fn group(app: App, Path(group): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    respond(&app, &group, &headers)
}

fn respond(app: &App, name: &str, headers: &HeaderMap) -> Result<Response, ApiError> {
    let pages = app.api_pages.get_or_init(|| make(app));
    let made = pages.get(name).ok_or(ApiError::NoSuchRoute)?;
    let mut response = tagged::respond("text/html; charset=utf-8", made.content.clone(), &made.tag, headers);
    response.headers_mut().extend(HEADERS);
    Ok(response)
}

fn make(app: &App) -> BTreeMap<&'static str, Tagged> {
    page::pages(&app.config).into_iter().map(|(name, html)| (name, tagged::tagged(html))).collect()
}
