//! What follows from a row of the route table: who may call, how often, and the errors that its guard and the layers around it return.

use axum::http::Method;
use serde_json::json;

use super::doc::Doc;
use super::parts::{Failure, Reply};
use crate::auth::key::Scope;
use crate::config::Config;
use crate::http::error::ApiError;
use crate::http::routes::{Access, QuotaOf, Row};
use crate::quota::{Unit, Window};

/// The paths that strangers may call under any host name, from any page, also where no key is configured.
const FOR_MACHINES: [&str; 2] = ["/metrics", "/health"];

/// The window in examples of rows without a quota: the flood limit by default.
const FLOOD: Window = Window { limit: 1_000, multiple: 1, unit: Unit::Second };

/// Returns who may use a row, in one sentence.
pub(super) fn access(row: &Row) -> String {
    match row.access {
        Access::Public => "Public.".to_owned(),
        Access::Scope(scope) => {
            format!("Needs a key or a token with the scope `{}`, if any key is configured.", scope.name())
        }
        Access::Personal(scope) => format!(
            "Needs a key or a token with the scope `{}`, also where no key is configured, unless \
             `ALLOW_UNAUTHENTICATED_PRIVACY` is set.",
            scope.name()
        ),
        Access::Page => "Needs a browser that has signed in, if any key is configured.".to_owned(),
    }
}

/// Returns the scope that a row needs.
pub(super) const fn scope(row: &Row) -> Option<Scope> {
    match row.access {
        Access::Scope(scope) | Access::Personal(scope) => Some(scope),
        Access::Public | Access::Page => None,
    }
}

/// Returns the quota of a row, in words; `None` if it has none.
pub(super) fn quota(row: &Row, config: &Config) -> Option<String> {
    row.quota.quota(config).map(ToString::to_string)
}

/// Returns the errors that come from the guard of a row and from the layers around it.
pub(super) fn failures(row: &Row, doc: &Doc, config: &Config) -> Vec<Failure> {
    let mut failures = vec![
        Failure::of(
            &ApiError::BadRequest("The query string is malformed"),
            "the request is not valid HTTP/1.1, has not exactly one valid `Host`, or its path, query or body is malformed",
        ),
        Failure::of(&ApiError::TooSlow, "the request did not arrive within 10 seconds"),
        bare(414, "URI Too Long", "The request is not valid HTTP/1.1", "the address is too long"),
        bare(
            431,
            "Request Header Fields Too Large",
            "At most 64 headers, 16 KiB in total, are accepted",
            "there are more than 64 headers, or more than 16 KiB of them",
        ),
        Failure::of(&ApiError::Internal, "a bug in the service"),
        Failure::of(
            &ApiError::Overloaded,
            "too many connections or requests at a time; try again after `Retry-After`",
        ),
    ];
    failures.extend(of_access(row));
    if row.quota != QuotaOf::Nobody {
        let window = row.quota.quota(config).map_or(FLOOD, |quota| quota.windows()[0]);
        let seconds = window.millis() / 1_000;
        failures.push(Failure::of(
            &ApiError::QuotaExceeded(window, seconds),
            "a quota is used up, `message` says which; the next attempt may be made after `Retry-After`",
        ));
    }
    failures.extend(of_body(row, doc));
    failures
}

/// Returns the responses that come from the guard of a row, apart from errors.
pub(super) fn replies(row: &Row) -> Vec<Reply> {
    let signed_out =
        Reply::new(303, "The browser is not signed in").with("Location", "`/`, where the form is");
    if row.access == Access::Page { vec![signed_out] } else { Vec::new() }
}

fn of_access(row: &Row) -> Vec<Failure> {
    let mut failures = Vec::new();
    if let Some(scope) = scope(row) {
        failures.extend([
            Failure::of(&ApiError::KeyMissing, "a key or a token is needed, and there is none"),
            Failure::of(&ApiError::TokenExpired, "the token is not valid, or not any more"),
            Failure::of(&ApiError::KeyInvalid, "the key is not valid"),
            Failure::of(&ApiError::KeyExpired, "the key is not valid any more"),
            Failure::of(&ApiError::ScopeLacking(scope), "the key, or the token, lacks the scope"),
        ]);
    }
    if row.access == Access::Page {
        failures.push(Failure::of(
            &ApiError::ScopeLacking(Scope::Analytics),
            "the key of the session lacks the scope",
        ));
    }
    if !FOR_MACHINES.iter().any(|path| row.path.starts_with(path)) {
        failures.push(Failure::of(
            &ApiError::Forbidden("Without an API key only local host names are accepted; set MLOPS_API_KEY"),
            "no key is configured, and the host name or the page that the request comes from is not a local one",
        ));
    }
    failures
}

fn of_body(row: &Row, doc: &Doc) -> Vec<Failure> {
    if !matches!(row.method, Method::POST | Method::PUT) {
        return Vec::new();
    }
    let unsupported = match doc.bodies.is_empty() {
        true => ApiError::UnsupportedCoding("identity", "Content-Encoding must be absent"),
        false => ApiError::NotJsonType("Content-Type must be application/json"),
    };
    vec![
        Failure::of(
            &ApiError::TooLarge("The body must not exceed 64 KiB"),
            "the body is too long, also when it is inflated",
        ),
        Failure::of(
            &unsupported,
            "the body has another `Content-Type` than this call takes, or a `Content-Encoding` that it does not take",
        ),
    ]
}

/// Returns an error of the connection, before the request reaches a route.
fn bare(status: u16, error: &str, message: &str, when: &'static str) -> Failure {
    Failure { status, body: json!({"error": error, "message": message}), when, schema: None }
}

/// Returns whether the listener may return an error of this status, whatever the route is: in JSON, and without the headers of the route.
pub(super) const fn is_bare(status: u16) -> bool {
    matches!(status, 400 | 414 | 431 | 503)
}
