//! Outcomes in bodies. Handlers get only those of businesses that the caller may report for.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::extract::{FromRequest, Request};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;
use strum::VariantArray;
use uuid::Uuid;

use super::body::BatchBytes;
use super::business::authorize;
use super::events::idempotency_key;
use crate::app::App;
use crate::clock::parse_timestamp;
use crate::conversation::{ConversationKey, Outcome, PostedOutcome};
use crate::event::{Refusal, Scalar, id_from_key, is_placeholder_id};
use crate::field_name::is_like_a_field;
use crate::http::error::ApiError;
use crate::http::middleware::request_context::RequestContext;
use crate::shape::Shape;
use crate::store::NewOutcome;

/// The maximum number of outcomes in a batch.
pub const MAX_OUTCOMES: usize = 1_000;

/// The maximum length of the id of a business or conversation, in characters.
const MAX_ID_CHARS: usize = 255;

/// The maximum value of an appointment in US dollars.
const MAX_VALUE_USD: f64 = 9_999_999.99;

/// How far ahead an outcome may be dated, because clocks differ.
const MAX_AHEAD: TimeDelta = TimeDelta::days(1);

/// The fields of an outcome.
const FIELDS: [&str; 6] =
    ["business_id", "conversation_id", "outcome", "value_usd", "occurred_at", "outcome_id"];

/// Returns the schema of an outcome.
#[must_use]
pub fn outcome_shape() -> Shape {
    let id = || Shape::text(1..=MAX_ID_CHARS);
    let names = Outcome::VARIANTS.iter().map(|outcome| outcome.name());
    let value = Shape::number(0.0..=MAX_VALUE_USD).or_null();
    let at = Shape::time_since_1970().or_null();
    Shape::object()
        .required("business_id", id().about("The business"))
        .required("conversation_id", id().about("The conversation: no placeholder such as `unknown`"))
        .required("outcome", Shape::one_of(names).about("What became of the appointment"))
        .optional(
            "value_usd",
            value.about(
                "What the appointment is worth, in US dollars; the newest value of a conversation holds",
            ),
        )
        .optional(
            "occurred_at",
            at.about("When it came to pass: from 1970 on and at most a day ahead; by default now"),
        )
        .optional(
            "outcome_id",
            Shape::in_format("uuid")
                .or_null()
                .about("An outcome that is sent again with this id counts once"),
        )
}

/// A body that reports outcomes.
#[derive(Debug)]
pub struct OutcomeBody {
    context: RequestContext,
    key: Option<String>,
    body: BatchBytes,
}

/// The outcomes of a body; each one that is not valid is an error instead.
#[derive(Debug)]
pub enum ReportedOutcomes {
    /// A single one.
    One(NewOutcome),
    /// A batch.
    Batch(Vec<Result<NewOutcome, ApiError>>),
}

impl FromRequest<App> for OutcomeBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let context = RequestContext::of(request.extensions()).clone();
        let key = idempotency_key(request.headers())?;
        Ok(Self { context, key, body: BatchBytes::from_request(request, app).await? })
    }
}

/// The fields of a JSON object. The last of duplicate keys wins.
type Fields<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

impl OutcomeBody {
    /// Returns the outcomes, received at `at`.
    pub fn into_outcomes(self, at: DateTime<Utc>) -> Result<ReportedOutcomes, ApiError> {
        let items = match &self.body {
            BatchBytes::Lines(lines) => lines
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.trim_ascii().is_empty())
                .map(object)
                .collect(),
            BatchBytes::Json(body) => {
                let fields = object(body)?;
                match fields.get("outcomes") {
                    None => return Ok(ReportedOutcomes::One(self.outcome(&fields, self.key.clone(), at)?)),
                    Some(outcomes) => batch(&fields, outcomes)?,
                }
            }
        };
        match items.len() {
            0 => return Err(Refusal::NoData.into()),
            1..=MAX_OUTCOMES => {}
            _ => return Err(ApiError::TooLarge("A batch must not exceed 1,000 outcomes")),
        }
        let outcomes = items.into_iter().enumerate().map(|(index, fields)| {
            // A batch that is sent again with the same key must yield the same outcomes.
            let key = self.key.as_ref().map(|key| format!("{key}/{index}"));
            self.outcome(&fields?, key, at)
        });
        Ok(ReportedOutcomes::Batch(outcomes.collect()))
    }

    fn outcome(
        &self,
        fields: &Fields<'_>,
        key: Option<String>,
        at: DateTime<Utc>,
    ) -> Result<NewOutcome, ApiError> {
        if let Some(unknown) = fields.keys().find(|name| !FIELDS.contains(&name.as_ref())) {
            return Err(unknown_field(unknown));
        }
        let business_id = required(fields, "business_id", id)?;
        let conversation_id = required(fields, "conversation_id", conversation_id)?;
        let outcome = required(fields, "outcome", |value| Outcome::from_name(text(value)?.as_ref()))?;
        let value_micros = optional(fields, "value_usd", micros)?;
        let occurred_at = optional(fields, "occurred_at", |value| time(value, at))?.unwrap_or(at);
        let chosen = optional(fields, "outcome_id", |value| Uuid::try_parse(text(value)?.as_ref()).ok())?;
        authorize(self.context.principal(), &business_id)?;
        let id = chosen.map(|id| id.to_string()).or(key).map(|key| id_from_key(&business_id, &key));
        let id = id.unwrap_or_else(Uuid::now_v7);
        Ok(NewOutcome {
            key: ConversationKey { business_id, conversation_id },
            posted: PostedOutcome { id, outcome, value_micros, occurred_at },
        })
    }
}

/// Returns the objects of a batch.
fn batch<'a>(
    fields: &Fields<'_>,
    outcomes: &'a RawValue,
) -> Result<Vec<Result<Fields<'a>, ApiError>>, ApiError> {
    if let Some(unknown) = fields.keys().find(|name| name.as_ref() != "outcomes") {
        return Err(unknown_field(unknown));
    }
    let items: Vec<&RawValue> = serde_json::from_str(outcomes.get())
        .map_err(|_: _| ApiError::InvalidField("outcomes", "must be an array of outcomes".to_owned()))?;
    Ok(items.into_iter().map(|item| object(item.get().as_bytes())).collect())
}

/// Parses a JSON object.
fn object(json: &[u8]) -> Result<Fields<'_>, ApiError> {
    match json.trim_ascii() {
        b"" | b"null" => return Err(Refusal::NoData.into()),
        [b'[', inside @ .., b']'] if inside.trim_ascii().is_empty() => return Err(Refusal::NoData.into()),
        _ => {}
    }
    let fields: Fields<'_> = serde_json::from_slice(json).map_err(|error| match error.classify() {
        Category::Data => Refusal::NotObject,
        _ => Refusal::NotJson { line: error.line(), column: error.column() },
    })?;
    if fields.is_empty() { Err(Refusal::NoData.into()) } else { Ok(fields) }
}

fn unknown_field(name: &str) -> ApiError {
    match is_like_a_field(name) {
        true => ApiError::InvalidBody(format!("unknown field: {name}")),
        false => ApiError::InvalidBody(format!("unknown field; an outcome has {}", FIELDS.join(", "))),
    }
}

/// Returns a field's value; `None` if it is absent or null.
fn optional<T>(
    fields: &Fields<'_>,
    name: &'static str,
    accept: impl FnOnce(&Scalar<'_>) -> Option<T>,
) -> Result<Option<T>, ApiError> {
    let value = fields.get(name).map(|raw| Scalar::deserialize(*raw));
    match value {
        None | Some(Ok(Scalar::Null)) => Ok(None),
        Some(value) => {
            let value = value.ok().and_then(|value| accept(&value));
            value.map(Some).ok_or_else(|| ApiError::InvalidField(name, must_be(name).to_owned()))
        }
    }
}

/// The same for a field that must have a value.
fn required<T>(
    fields: &Fields<'_>,
    name: &'static str,
    accept: impl FnOnce(&Scalar<'_>) -> Option<T>,
) -> Result<T, ApiError> {
    optional(fields, name, accept)?.ok_or_else(|| Refusal::Missing(name).into())
}

/// Returns what the value of a field must be.
fn must_be(name: &str) -> &'static str {
    match name {
        "business_id" => "must be a string of 1 to 255 characters, without control characters",
        "conversation_id" => {
            "must be a string of 1 to 255 characters, without control characters, that names a conversation"
        }
        "outcome" => "must be one of booked, kept, no_show, cancelled",
        "value_usd" => "must be a number from 0 to 9999999.99",
        "occurred_at" => {
            "must be a time in RFC 3339, such as 2026-11-27T10:00:00Z, from 1970 on and at most a day ahead"
        }
        _ => "must be a UUID, such as 8e03978e-40d5-43dd-bc93-6894a57f9324",
    }
}

fn text<'s>(value: &'s Scalar<'_>) -> Option<&'s Cow<'s, str>> {
    if let Scalar::Text(text) = value { Some(text) } else { None }
}

fn id(value: &Scalar<'_>) -> Option<String> {
    let text = text(value)?;
    let fits = (1..=MAX_ID_CHARS).contains(&text.chars().count()) && !text.contains(char::is_control);
    fits.then(|| text.clone().into_owned())
}

fn conversation_id(value: &Scalar<'_>) -> Option<String> {
    id(value).filter(|id| !is_placeholder_id(id))
}

fn micros(value: &Scalar<'_>) -> Option<i64> {
    let Scalar::Number(usd) = value else { return None };
    #[expect(clippy::cast_possible_truncation, reason = "checked against its bound")]
    (0.0..=MAX_VALUE_USD).contains(usd).then(|| (usd * 1e6).round() as i64)
}

fn time(value: &Scalar<'_>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let at = parse_timestamp(text(value)?)?;
    (DateTime::UNIX_EPOCH..=now + MAX_AHEAD).contains(&at).then_some(at)
}
