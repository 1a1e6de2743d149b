//! Errors of routes for people, as pages: what is wrong and what to do, and nothing that a caller wrote.

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use axum::response::Response;

use super::page_with;
use crate::http::error::ApiError;
use crate::pages::Frame;

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    page: Frame,
    title: &'static str,
    /// What is wrong and what to do, in plain words.
    what: String,
    /// Whether the form for signing in is there again.
    sign_in: bool,
}

/// Returns an error as a page with the same status and headers; any other response as it is.
pub(in crate::http) fn into_page(response: Response) -> Response {
    let Some(error) = response.extensions().get::<ApiError>() else { return response };
    if *error == ApiError::SignedOut {
        return response;
    }
    let (title, what) = words(error);
    let sign_in = matches!(error, ApiError::KeyMissing | ApiError::KeyInvalid | ApiError::KeyExpired);
    let page = page_with(status(error), &ErrorPage { page: Frame::alone(), title, what, sign_in });
    let (page, body) = page.into_parts();
    let (mut parts, _) = response.into_parts();
    parts.status = page.status;
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.extend(page.headers);
    Response::from_parts(parts, body)
}

/// That a business exists is nobody's concern who may not see it.
const fn status(error: &ApiError) -> StatusCode {
    match error {
        ApiError::BusinessDenied => StatusCode::NOT_FOUND,
        error => error.status(),
    }
}

/// Returns the title of the page of an error, and what is wrong and what to do.
fn words(error: &ApiError) -> (&'static str, String) {
    let (title, what) = match error {
        ApiError::KeyMissing => ("A key is needed", "Enter an API key to sign in."),
        ApiError::KeyInvalid => (
            "This key is not valid",
            "Check that you have copied the whole key, or ask whoever runs this service for a new one.",
        ),
        ApiError::KeyExpired => {
            ("This key has expired", "Ask whoever runs this service for a new one, and sign in with that.")
        }
        ApiError::ScopeLacking(_) => (
            "This key does not open pages",
            "It lacks the scope analytics. Ask whoever runs this service for a key that has it.",
        ),
        ApiError::BusinessDenied | ApiError::NotFound(_) | ApiError::NoSuchRoute => (
            "There is no page here",
            "The address is not quite right, or what was here is not there any more.",
        ),
        ApiError::MethodNotAllowed => {
            ("This address takes no such request", "Go back to the start page and try again from there.")
        }
        ApiError::QuotaExceeded(..) | ApiError::Throttled(..) | ApiError::Flooded(..) => {
            return ("Too many requests", wait(error));
        }
        ApiError::TooSlow => ("This took too long", "Try again; if it happens again, try later."),
        ApiError::StoreUnavailable | ApiError::Overloaded => {
            return ("Not available at the moment", format!("{}.", error.message()));
        }
        ApiError::Internal => (
            "Something went wrong",
            "Try again; if it happens again, tell whoever runs this service. Its log says more.",
        ),
        ApiError::Forbidden(why) => return ("This is not allowed", format!("{why}.")),
        other => return (title(other.status()), format!("{}.", other.message())),
    };
    (title, what.to_owned())
}

fn wait(error: &ApiError) -> String {
    match error.retry_after().unwrap_or(1) {
        ..=1 => "Try again in a second.".to_owned(),
        seconds @ 2..=120 => format!("Try again in {seconds} seconds."),
        seconds => format!("Try again in {} minutes.", (seconds + 59) / 60),
    }
}

fn title(status: StatusCode) -> &'static str {
    match status.is_server_error() {
        true => "Not available at the moment",
        false => "This request cannot be answered",
    }
}
