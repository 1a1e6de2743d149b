//! Events in bodies. Handlers get them only after a check that the caller may report for their business.

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderName};
use chrono::{DateTime, Utc};

use super::body::{BatchBytes, EventBytes};
use super::business::authorize;
use crate::app::App;
use crate::auth::Principal;
use crate::event::{Event, MAX_KEY_CHARS, Refusal, Report};
use crate::fair_share::Tenant;
use crate::http::error::ApiError;
use crate::http::middleware::request_context::RequestContext;
use crate::shape::Shape;

/// The header that may replace `event_id`.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The maximum number of events in a batch.
pub const MAX_EVENTS: usize = 1_000;

/// A body of type `B` that reports events, and what they are checked against.
#[derive(Debug)]
pub struct Reported<B> {
    context: RequestContext,
    key: Option<String>,
    body: B,
}

/// A body that reports one event.
pub type EventBody = Reported<EventBytes>;

/// A body that reports many events.
pub type EventBatch = Reported<BatchBytes>;

impl<B: FromRequest<App, Rejection = ApiError>> FromRequest<App> for Reported<B> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let context = RequestContext::of(request.extensions()).clone();
        let key = idempotency_key(request.headers())?;
        Ok(Self { context, key, body: B::from_request(request, app).await? })
    }
}

impl<B> Reported<B> {
    /// Returns for whom the events are counted.
    pub fn tenant(&self) -> Tenant {
        self.context.tenant()
    }
}

impl EventBody {
    /// Returns the event, received at `at`.
    pub fn into_event(self, at: DateTime<Utc>) -> Result<Event, ApiError> {
        checked_event(Report::parse(&self.body.0)?, self.key.as_deref(), self.context.principal(), at)
    }
}

impl EventBatch {
    /// Returns the events, received at `at`; each one that is not valid is an error instead.
    pub fn into_events(self, at: DateTime<Utc>) -> Result<Vec<Result<Event, ApiError>>, ApiError> {
        let reports = match &self.body {
            BatchBytes::Json(body) => Report::parse_batch(body)?,
            BatchBytes::Lines(body) => Report::parse_lines(body),
        };
        match reports.len() {
            0 => return Err(Refusal::NoData.into()),
            1..=MAX_EVENTS => {}
            _ => return Err(ApiError::TooLarge("A batch must not exceed 1,000 events")),
        }
        let events = reports.into_iter().enumerate().map(|(index, report)| {
            // A batch that is sent again with the same key must yield the same events.
            let key = self.key.as_ref().map(|key| format!("{key}/{index}"));
            checked_event(report?, key.as_deref(), self.context.principal(), at)
        });
        Ok(events.collect())
    }
}

fn checked_event(
    report: Report<'_>,
    key: Option<&str>,
    principal: &Principal,
    at: DateTime<Utc>,
) -> Result<Event, ApiError> {
    let event = report.into_event(key, at)?;
    authorize(principal, &event.business_id)?;
    Ok(event)
}

/// Returns the schema of the header that may replace `event_id`.
#[must_use]
pub fn idempotency_shape() -> Shape {
    let printable = format!("^[ -~]{{0,{MAX_KEY_CHARS}}}$");
    Shape::matching(&printable)
        .about("The caller's own name for the request, if the body has none: a UUID, or any printable ASCII characters. It counts within the business.")
        .such_as("reply-4711")
}

/// Parses the idempotency key: a UUID or any other name, bare or as a quoted string.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let must_be = "Idempotency-Key must be at most 255 printable ASCII characters";
    let printable = value.to_str().ok().filter(|text| !text.contains('\t'));
    let text = printable.ok_or(ApiError::InvalidValue("Idempotency-Key", must_be))?;
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    match bare.len() {
        0 => Ok(None),
        1..=MAX_KEY_CHARS => Ok(Some(bare.to_owned())),
        _ => Err(ApiError::InvalidValue("Idempotency-Key", must_be)),
    }
}
