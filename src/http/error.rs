//! Every error answer of the service: one enum, one status each, one JSON form.

use axum::Json;
use axum::http::header::{CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::auth::key::Scope;
use crate::event::Refusal;
use crate::ingest::IngestError;
use crate::quota::Window;
use crate::security::{Incident, SecurityEvent};

/// Why a request is not answered as the caller wished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiError {
    /// 401: a key is needed and none was sent.
    KeyMissing,
    /// 403: the key is not valid.
    KeyInvalid,
    /// 403: the key was valid once.
    KeyExpired,
    /// 401: the token is not valid, and this is why.
    TokenInvalid(&'static str),
    /// 401: the token was valid once.
    TokenExpired,
    /// 403: the token does not open this route.
    TokenScopeLacking(Scope),
    /// 403: the key does not open this route.
    ScopeLacking(Scope),
    /// 403: the key is bound to another business.
    BusinessDenied,
    /// 403: the route needs authentication, which is switched off.
    AuthenticationOff,
    /// 404: no such route.
    NoSuchRoute,
    /// 405: the route has no such method.
    MethodNotAllowed,
    /// 408: the request came too slowly.
    TooSlow,
    /// 413: the body is too large, or holds too much.
    TooLarge(&'static str),
    /// 415: the body is of another type than JSON.
    NotJsonType(&'static str),
    /// 400: the body is incomplete, or a part of the address is malformed.
    BadRequest(&'static str),
    /// 400: a part of the address or a header has a wrong value.
    InvalidValue(&'static str, &'static str),
    /// 400: the body is no JSON of the form that the route takes.
    InvalidBody(String),
    /// 400: a field of the body has a wrong value.
    InvalidField(&'static str, String),
    /// 409: the state of what was asked about does not allow it.
    Conflict(String),
    /// 404: the route exists, what it was asked about does not.
    NotFound(&'static str),
    /// 400: the event is refused.
    Event(Refusal),
    /// 400: a rule of the database refuses the event.
    EventRefused,
    /// 400: every event of a batch is refused, the first one for this reason.
    AllRefused(String),
    /// 429: this window is used up; seconds until the next try.
    QuotaExceeded(Window, i64),
    /// 429: too many failed attempts; seconds until the next try.
    Throttled(Window, i64),
    /// 429: the flood limit, which this window describes; seconds until the next try.
    Flooded(Window, i64),
    /// 503: the event cannot be kept now.
    NotStored(&'static str),
    /// 503: the store cannot be read now.
    StoreUnavailable,
    /// 503: more requests are being answered than the service takes on.
    Overloaded,
    /// 503: the service cannot take events, or is stopping.
    NotReady(&'static str),
    /// 503: a setting is missing, without which the route does nothing.
    NotSetUp(&'static str),
    /// 500: a bug in the service.
    Internal,
}

/// The body of every error.
#[derive(Debug, Serialize)]
struct Body {
    error: String,
    message: String,
}

impl ApiError {
    /// The status code.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::KeyMissing | Self::TokenInvalid(_) | Self::TokenExpired => StatusCode::UNAUTHORIZED,
            Self::KeyInvalid
            | Self::KeyExpired
            | Self::ScopeLacking(_)
            | Self::TokenScopeLacking(_)
            | Self::BusinessDenied
            | Self::AuthenticationOff => StatusCode::FORBIDDEN,
            Self::NoSuchRoute | Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotJsonType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BadRequest(_)
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
            Self::AuthenticationOff => {
                ("Forbidden", "Authentication is off; set MLOPS_API_KEY to use this route")
            }
            Self::NotFound(what) => ("Not Found", *what),
            Self::Conflict(what) => return body("Conflict", what),
            Self::InvalidBody(what) => return body("Invalid request body", what),
            Self::InvalidField(name, must_be) => {
                return body(format!("Invalid value for field: {name}"), format!("{name} {must_be}"));
            }
            Self::NoSuchRoute => ("Not Found", "No such route"),
            Self::MethodNotAllowed => ("Method Not Allowed", "The Allow header lists this route's methods"),
            Self::TooSlow => ("Request Timeout", "The request did not arrive in time"),
            Self::TooLarge(what) => ("Payload Too Large", *what),
            Self::NotJsonType(must_be) => ("Unsupported Media Type", *must_be),
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
                ("Internal Server Error", "An unexpected error occurred; see the service's log for details")
            }
        };
        body(error, message)
    }

    /// The security event that it is.
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

    /// What a token must be (RFC 6750, section 3).
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

    /// Seconds after which it makes sense to try again.
    const fn retry_after(&self) -> Option<i64> {
        match self {
            Self::QuotaExceeded(_, seconds) | Self::Throttled(_, seconds) | Self::Flooded(_, seconds) => {
                Some(*seconds)
            }
            Self::NotStored(_) | Self::StoreUnavailable | Self::Overloaded | Self::NotReady(_) => Some(1),
            _ => None,
        }
    }
}

/// What is wrong, as the `error` of an answer about this alone; of two that are the same there, the `message`.
#[must_use]
pub fn error_text(error: &ApiError) -> String {
    let Body { error: text, message } = error.body();
    if *error == ApiError::BusinessDenied { message } else { text }
}

fn body(error: impl Into<String>, message: impl Into<String>) -> Body {
    Body { error: error.into(), message: message.into() }
}

fn refusal_body(refusal: &Refusal) -> Body {
    match refusal {
        Refusal::NoData => {
            body("No metrics data provided", "Send a JSON object with the metrics of one event")
        }
        Refusal::Missing(field) => {
            body(format!("Missing required field: {field}"), format!("{field} must be present and not null"))
        }
        Refusal::Invalid { field, must_be } => {
            body(format!("Invalid value for field: {field}"), format!("{field} {must_be}"))
        }
        Refusal::NotJson { line, column } => {
            body("Invalid JSON", format!("The body is not valid JSON at line {line}, column {column}"))
        }
        Refusal::NotObject => body("Metrics data must be a JSON object", "Send a JSON object"),
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status(), Json(self.body())).into_response();
        if let Some(seconds) = self.retry_after() {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        if let Some(incident) = self.incident() {
            response.extensions_mut().insert(incident);
        }
        if let Some(challenge) = self.challenge() {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        if self == Self::TooSlow {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
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
