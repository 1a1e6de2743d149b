//! All error responses of the service: one enum, with one status for each variant and one JSON form.

use axum::Json;
use axum::http::header::{ACCEPT_ENCODING, CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::auth::key::Scope;
use crate::event::Refusal;
use crate::ingest::IngestError;
use crate::quota::Window;
use crate::security::{Incident, SecurityEvent};

/// Where people sign in.
const START_PAGE: &str = "/";

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiError {
    /// 303 to the start page: the browser is not signed in, or not any more.
    SignedOut,
    /// 401: the route requires a key or a token, and none was presented.
    KeyMissing,
    /// 403: the key is not valid.
    KeyInvalid,
    /// 403: the key has expired.
    KeyExpired,
    /// 401: the token is not valid, for this reason.
    TokenInvalid(&'static str),
    /// 401: the token has expired.
    TokenExpired,
    /// 403: the token lacks this scope.
    TokenScopeLacking(Scope),
    /// 403: the key lacks this scope.
    ScopeLacking(Scope),
    /// 403: the key is bound to another business.
    BusinessDenied,
    /// 403: the request is not accepted, for this reason.
    Forbidden(&'static str),
    /// 404: there is no such route.
    NoSuchRoute,
    /// 405: the route does not support the method.
    MethodNotAllowed,
    /// 408: the request did not arrive in time.
    TooSlow,
    /// 413: the body or the requested data is too large.
    TooLarge(&'static str),
    /// 415: the content type of the body is not accepted; the message says which are.
    NotJsonType(&'static str),
    /// 415: the body is compressed in a way that the route does not accept; which are accepted, and the message.
    UnsupportedCoding(&'static str, &'static str),
    /// 400: the body is incomplete, or a part of the URL is malformed.
    BadRequest(&'static str),
    /// 400: the query string has parameters that the route does not accept.
    InvalidQuery(String),
    /// 400: a parameter, a header or a field has an invalid value; its name and the message.
    InvalidValue(&'static str, &'static str),
    /// 400: the body does not have the form that the route accepts.
    InvalidBody(String),
    /// 400: a field or a parameter has an invalid value; its name and what it must be.
    InvalidField(&'static str, String),
    /// 409: the state of the resource does not allow it.
    Conflict(String),
    /// An error whose body has more than a message: its status, its name, the message, and the other fields.
    Detailed(StatusCode, &'static str, String, Map<String, Value>),
    /// 404: the route exists, but the resource does not.
    NotFound(&'static str),
    /// 400: the event is not valid.
    Event(Refusal),
    /// 400: a constraint of the database rejected the event.
    EventRefused,
    /// 400: every event of a batch was rejected, the first one for this reason.
    AllRefused(String),
    /// 429: the quota of this window is used up; the seconds until the next attempt.
    QuotaExceeded(Window, i64),
    /// 429: too many failed attempts; the window and the seconds until the next attempt.
    Throttled(Window, i64),
    /// 429: the flood limit, as a window, is exceeded; the seconds until the next attempt.
    Flooded(Window, i64),
    /// 503: the event cannot be stored at the moment, for this reason.
    NotStored(&'static str),
    /// 503: the store is unavailable.
    StoreUnavailable,
    /// 503: too many requests are in flight.
    Overloaded,
    /// 503: the service cannot handle the request at the moment, for this reason.
    NotReady(&'static str),
    /// 503: a setting that the route requires is not set.
    NotSetUp(&'static str),
    /// 500: a bug in the service.
    Internal,
}

/// The body of every error.
#[derive(Debug, Serialize)]
struct Body {
    error: String,
    message: String,
    #[serde(flatten)]
    details: Map<String, Value>,
}

impl ApiError {
    /// Returns the status code.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::SignedOut => StatusCode::SEE_OTHER,
            Self::KeyMissing | Self::TokenInvalid(_) | Self::TokenExpired => StatusCode::UNAUTHORIZED,
            Self::KeyInvalid
            | Self::KeyExpired
            | Self::ScopeLacking(_)
            | Self::TokenScopeLacking(_)
            | Self::BusinessDenied
            | Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NoSuchRoute | Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Detailed(status, ..) => *status,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotJsonType(_) | Self::UnsupportedCoding(..) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BadRequest(_)
            | Self::InvalidQuery(_)
            | Self::InvalidValue(..)
            | Self::InvalidBody(_)
            | Self::InvalidField(..)
            | Self::Event(_)
            | Self::EventRefused
            | Self::AllRefused(_) => StatusCode::BAD_REQUEST,
            Self::QuotaExceeded(..) | Self::Throttled(..) | Self::Flooded(..) => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::NotStored(_)
            | Self::StoreUnavailable
            | Self::Overloaded
            | Self::NotReady(_)
            | Self::NotSetUp(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn body(&self) -> Body {
        let (error, message) = match self {
            Self::KeyMissing => ("Unauthorized", "API key required. Include X-API-Key header."),
            Self::KeyInvalid => ("Forbidden", "Invalid API key"),
            Self::KeyExpired => ("Forbidden", "API key has expired"),
            Self::ScopeLacking(scope) => {
                return body("Forbidden", format!("API key lacks scope: {}", scope.name()));
            }
            Self::TokenInvalid(why) => return body("Unauthorized", format!("Invalid token: {why}")),
            Self::TokenExpired => ("Unauthorized", "Token has expired"),
            Self::TokenScopeLacking(scope) => {
                return body("Forbidden", format!("Token lacks scope: {}", scope.name()));
            }
            Self::BusinessDenied => ("Forbidden", "API key is not valid for this business"),
            Self::Forbidden(why) => ("Forbidden", *why),
            Self::NotFound(what) => ("Not Found", *what),
            Self::Conflict(what) => return body("Conflict", what),
            Self::Detailed(_, error, message, details) => return detailed(error, message, details),
            Self::InvalidBody(what) => return body("Invalid request body", what),
            Self::InvalidQuery(what) => return body("Bad Request", what),
            Self::InvalidField(name, must_be) => {
                return body(format!("Invalid value for field: {name}"), format!("{name} {must_be}"));
            }
            Self::SignedOut | Self::NoSuchRoute => ("Not Found", "No such route"),
            Self::MethodNotAllowed => ("Method Not Allowed", "The Allow header lists this route's methods"),
            Self::TooSlow => ("Request Timeout", "The request did not arrive in time"),
            Self::TooLarge(what) => ("Payload Too Large", *what),
            Self::NotJsonType(what) | Self::UnsupportedCoding(_, what) => ("Unsupported Media Type", *what),
            Self::BadRequest(what) => ("Bad Request", *what),
            Self::InvalidValue(name, must_be) => {
                return body(format!("Invalid value for field: {name}"), *must_be);
            }
            Self::Event(refusal) => return refusal_body(refusal),
            Self::AllRefused(error) => {
                return body(error, "Every event in the batch was rejected; this is the first error");
            }
            Self::EventRefused => {
                ("Event refused by the database", "A database constraint rejected the event")
            }
            Self::QuotaExceeded(window, _) | Self::Throttled(window, _) | Self::Flooded(window, _) => {
                return body("429 Too Many Requests", window.to_string());
            }
            Self::NotStored(why) => ("Failed to store metrics in database", *why),
            Self::StoreUnavailable => ("Service Unavailable", "The database is unavailable; try again later"),
            Self::Overloaded => ("Service Unavailable", "The service is busy; try again later"),
            Self::NotReady(why) | Self::NotSetUp(why) => ("Service Unavailable", *why),
            Self::Internal => {
                ("Internal Server Error", "An unexpected error occurred; see the service's log")
            }
        };
        body(error, message)
    }

    /// Returns the body of the response.
    #[must_use]
    pub(super) fn to_json(&self) -> Value {
        serde_json::to_value(self.body()).expect("texts are JSON")
    }

    /// Returns what is wrong, in one sentence for the caller.
    #[must_use]
    pub(super) fn message(&self) -> String {
        self.body().message
    }

    /// Returns the security event that the error is, if any.
    pub(super) fn incident(&self) -> Option<Incident> {
        let event = match self {
            Self::KeyMissing => SecurityEvent::AuthMissing,
            Self::KeyInvalid | Self::TokenInvalid(_) => SecurityEvent::AuthInvalid,
            Self::KeyExpired | Self::TokenExpired => SecurityEvent::AuthExpired,
            Self::ScopeLacking(_) | Self::TokenScopeLacking(_) => SecurityEvent::ScopeDenied,
            Self::BusinessDenied => SecurityEvent::BusinessDenied,
            Self::QuotaExceeded(..) | Self::Throttled(..) => SecurityEvent::RateLimited,
            Self::Flooded(..) => SecurityEvent::FloodLimited,
            _ => return None,
        };
        let incident = Incident::new(event, None);
        let reason = match self {
            Self::TokenInvalid(why) => *why,
            Self::TokenExpired => "expired token",
            Self::TokenScopeLacking(_) => "the token lacks the scope",
            _ => incident.reason,
        };
        Some(Incident { reason, quiet: matches!(self, Self::Throttled(..)), ..incident })
    }

    /// Returns the `WWW-Authenticate` challenge, if a token was rejected (RFC 6750, section 3).
    fn challenge(&self) -> Option<HeaderValue> {
        let challenge = match self {
            Self::TokenInvalid(why) => format!("Bearer error=\"invalid_token\", error_description=\"{why}\""),
            Self::TokenExpired => "Bearer error=\"invalid_token\", error_description=\"expired\"".to_owned(),
            Self::TokenScopeLacking(scope) => {
                format!("Bearer error=\"insufficient_scope\", scope=\"{}\"", scope.name())
            }
            _ => return None,
        };
        HeaderValue::from_str(&challenge).ok()
    }

    /// Returns the value of `Retry-After`, in seconds, if retrying makes sense.
    pub(super) const fn retry_after(&self) -> Option<i64> {
        match self {
            Self::QuotaExceeded(_, seconds) | Self::Throttled(_, seconds) | Self::Flooded(_, seconds) => {
                Some(*seconds)
            }
            Self::NotStored(_) | Self::StoreUnavailable | Self::Overloaded | Self::NotReady(_) => Some(1),
            _ => None,
        }
    }
}

/// Returns the `error` field of the response to `error`. For [`ApiError::BusinessDenied`], whose `error`
/// field is the same as that of other errors, returns the `message` field.
#[must_use]
pub fn error_text(error: &ApiError) -> String {
    let Body { error: text, message, .. } = error.body();
    if *error == ApiError::BusinessDenied { message } else { text }
}

fn body(error: impl Into<String>, message: impl Into<String>) -> Body {
    Body { error: error.into(), message: message.into(), details: Map::new() }
}

fn detailed(error: &str, message: &str, details: &Map<String, Value>) -> Body {
    Body { details: details.clone(), ..body(error, message) }
}

fn refusal_body(refusal: &Refusal) -> Body {
    let (error, message) = refusal.told();
    body(error, message)
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = match self {
            Self::SignedOut => Redirect::to(START_PAGE).into_response(),
            _ => (self.status(), Json(self.body())).into_response(),
        };
        if let Some(seconds) = self.retry_after() {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        if let Some(incident) = self.incident() {
            response.extensions_mut().insert(incident);
        }
        if let Some(challenge) = self.challenge() {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        if let Self::UnsupportedCoding(accepted, _) = self {
            response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static(accepted));
        }
        if self == Self::TooSlow {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        // For routes whose errors are pages.
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self::Event(refusal)
    }
}

impl From<IngestError> for ApiError {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::QueueFull => Self::NotStored("The event queue is full; try again later"),
            IngestError::Unavailable => Self::NotStored("The database is unavailable; try again later"),
            IngestError::UnknownBusiness => {
                Self::InvalidValue("business_id", "business_id must be a known business")
            }
            IngestError::Refused => Self::EventRefused,
        }
    }
}
