//! `/privacy/requests`: the privacy requests of customers, and when they are due.

pub(in crate::http) mod doc;

use axum::Json;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use strum::VariantArray;
use utoipa::ToSchema;

use super::desk;
use super::subject_selector::{Purpose, SubjectSelector, text};
use crate::app::App;
use crate::audit::Actor;
use crate::clock::{parse_timestamp, start_of, timestamp};
use crate::http::error::ApiError;
use crate::http::extract::{BusinessLimit, JsonBody, NoQuery, Path, Query, Subjects};
use crate::http::paging::{cut, number};
use crate::privacy::DeskError;
use crate::privacy::extension::{self, ExtensionError, ExtensionReason};
use crate::rollup::day_of;
use crate::store::{Extension, Request};

/// The ways a request may have been received. The list is closed, so that no one enters a name.
const SOURCES: [&str; 6] = ["letter", "email", "phone", "in person", "web form", "other"];

/// The default number of requests in a response.
const DEFAULT_LIMIT: u32 = 100;

/// The maximum number of requests in a response.
const MAX_LIMIT: u32 = 500;

/// The maximum `offset`.
const MAX_OFFSET: u32 = 1_000_000;

/// The query string of the list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestsQuery {
    limit: Option<String>,
    offset: Option<String>,
}

/// A request. It identifies the customer only by hash.
#[derive(Debug, Serialize, ToSchema)]
pub struct PrivacyRequestResponse {
    id: String,
    kind: String,
    /// The kind of identifier that named the customer.
    selector: String,
    /// The first digits of the customer's hash, the same for all requests of a customer.
    subject: String,
    #[schema(required)]
    business_id: Option<String>,
    source: String,
    #[schema(format = DateTime)]
    received_at: String,
    /// The last microsecond of the day on which it is due.
    #[schema(format = DateTime)]
    due_at: String,
    /// That day in `TIME_ZONE`. The request is overdue when the whole of it is over.
    #[schema(format = Date)]
    due_on: String,
    overdue: bool,
    #[schema(required, format = DateTime)]
    done_at: Option<String>,
    #[schema(required)]
    receipt_id: Option<String>,
    #[schema(required, value_type = Option<HashMap<String, u64>>)]
    counts: Option<Map<String, Value>>,
    /// What was found when it was completed.
    #[schema(required)]
    outcome: Option<&'static str>,
    #[schema(required)]
    extended: Option<ExtensionResponse>,
}

/// The extension of a request by two months.
#[derive(Debug, Serialize, ToSchema)]
struct ExtensionResponse {
    #[schema(format = DateTime)]
    at: String,
    reason: String,
}

/// The body of `POST /privacy/requests/{id}/extension`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtensionRequest {
    reason: Option<Value>,
}

/// The body of `GET /privacy/requests`.
#[derive(Debug, Serialize, ToSchema)]
pub struct PrivacyRequestList {
    /// The number of open requests.
    #[schema(minimum = 0)]
    open: i64,
    /// The number of open requests past their due time.
    #[schema(minimum = 0)]
    overdue: i64,
    requests: Vec<PrivacyRequestResponse>,
    /// The `offset` of the next page; null on the last one.
    #[schema(required)]
    next: Option<u32>,
}

/// `GET /privacy/requests`: lists open requests by when they are due, then completed ones.
pub async fn list(
    app: App,
    business: BusinessLimit,
    Query(query): Query<RequestsQuery>,
) -> Result<Json<PrivacyRequestList>, ApiError> {
    let limit = number("limit", query.limit.as_deref(), DEFAULT_LIMIT, 1..=MAX_LIMIT)?;
    let offset = number("offset", query.offset.as_deref(), 0, 0..=MAX_OFFSET)?;
    let now = app.clock.now();
    let (open, mut requests) = tokio::try_join!(
        app.store.open_requests(business.own(), now),
        app.store.requests(business.own(), offset, limit + 1)
    )
    .map_err(DeskError::from)?;
    let more = cut(&mut requests, limit);
    let shown = |request| PrivacyRequestResponse::of(request, now, app.config.time_zone);
    let requests = requests.into_iter().map(shown);
    let next = more.then_some(offset + limit);
    Ok(Json(PrivacyRequestList {
        open: open.open,
        overdue: open.overdue,
        requests: requests.collect(),
        next,
    }))
}

/// `POST /privacy/requests`: records a request, such as one received by letter, before it is handled.
pub async fn note(
    app: App,
    by: Actor,
    Subjects(hasher): Subjects,
    limit: BusinessLimit,
    _: NoQuery,
    JsonBody(subject): JsonBody<SubjectSelector>,
) -> Result<(StatusCode, Json<PrivacyRequestResponse>), ApiError> {
    let inquiry = subject.inquiry(Purpose::Note, hasher.reader, &limit)?;
    let kind = subject.kind()?;
    let source = subject.source.as_ref().map_or(Ok(SOURCES[0]), source)?;
    let desk = desk(&app, hasher, by);
    let received_at = subject.received_at.as_ref().map_or(Ok(desk.now), |at| time(at, desk.zone))?;
    if received_at > desk.now {
        return Err(ApiError::InvalidField("received_at", "must not be in the future".to_owned()));
    }
    let request = desk.record_request(kind, &inquiry, source, received_at).await?;
    Ok((StatusCode::CREATED, Json(PrivacyRequestResponse::of(request, desk.now, desk.zone))))
}

/// `POST /privacy/requests/{id}/extension`: adds two months to the time for a request.
pub async fn extend(
    app: App,
    by: Actor,
    business: BusinessLimit,
    Path(id): Path<String>,
    _: NoQuery,
    JsonBody(body): JsonBody<ExtensionRequest>,
) -> Result<Json<PrivacyRequestResponse>, ApiError> {
    let (reason, now, zone) = (body.reason()?, app.clock.now(), app.config.time_zone);
    let id = id.parse().map_err(|_: uuid::Error| ExtensionError::Unknown)?;
    let request = extension::extend(&app.store, id, business.own(), reason, zone, now, &by).await?;
    Ok(Json(PrivacyRequestResponse::of(request, now, zone)))
}

impl ExtensionRequest {
    fn reason(&self) -> Result<ExtensionReason, ApiError> {
        let text = self.reason.as_ref().and_then(Value::as_str);
        let known = ExtensionReason::VARIANTS.iter().copied().find(|reason| text == Some(reason.name()));
        known.ok_or_else(|| {
            let names: Vec<&str> = ExtensionReason::VARIANTS.iter().map(|reason| reason.name()).collect();
            ApiError::InvalidField("reason", format!("must be {}", names.join(" or ")))
        })
    }
}

impl From<ExtensionError> for ApiError {
    fn from(error: ExtensionError) -> Self {
        let why = match error {
            ExtensionError::Unknown => return Self::NotFound("No privacy request has this id"),
            ExtensionError::Store(error) => {
                tracing::error!("cannot extend a privacy request: {error}");
                return Self::StoreUnavailable;
            }
            ExtensionError::Completed => "The request is completed: there is nothing to extend",
            ExtensionError::Extended => "The request was extended before: Art. 12 (3) GDPR allows it once",
            ExtensionError::Overdue => {
                "The due date of the request is over: under Art. 12 (3) GDPR it can be extended only before. Answer it now"
            }
        };
        Self::Conflict(why.to_owned())
    }
}

fn source(value: &Value) -> Result<&'static str, ApiError> {
    let known =
        text("source", value).ok().and_then(|text| SOURCES.into_iter().find(|source| *source == text));
    known.ok_or_else(|| ApiError::InvalidField("source", format!("must be one of {}", SOURCES.join(", "))))
}

/// Parses a time, or a date, which stands for the start of that day in `zone`.
fn time(value: &Value, zone: Tz) -> Result<DateTime<Utc>, ApiError> {
    let text = text("received_at", value)?;
    let at = parse_timestamp(text).or_else(|| Some(start_of(text.parse().ok()?, zone)));
    let at = at.filter(|at| at.timestamp() >= 0);
    at.ok_or_else(|| {
        let rule = "must be a date such as 2026-01-31, or a time such as 2026-01-31T10:00:00+01:00";
        ApiError::InvalidField("received_at", rule.to_owned())
    })
}

impl PrivacyRequestResponse {
    fn of(request: Request, now: DateTime<Utc>, zone: Tz) -> Self {
        let outcome = |found| if found { "data found" } else { "nothing held" };
        let extended = |extension: Extension| ExtensionResponse {
            at: timestamp(extension.at),
            reason: extension.reason,
        };
        Self {
            outcome: request.found_data().map(outcome),
            extended: request.extended.map(extended),
            overdue: request.done_at.is_none() && request.due_at < now,
            id: request.id,
            kind: request.kind,
            selector: request.selector,
            subject: request.subject.to_string(),
            business_id: request.business_id,
            source: request.source,
            received_at: timestamp(request.received_at),
            due_at: timestamp(request.due_at),
            due_on: day_of(request.due_at, zone).to_string(),
            done_at: request.done_at.map(timestamp),
            receipt_id: request.receipt_id,
            counts: request.counts,
        }
    }
}
