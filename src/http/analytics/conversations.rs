//! `GET /analytics/{business_id}/conversations`: what is known about single conversations.

use axum::Json;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use strum::VariantArray;
use url::form_urlencoded;
use utoipa::ToSchema;

use super::cursor::{self, cursor};
use super::sheet::{Sheet, prefers_csv, with_vary};
use super::unavailable;
use crate::analytics::Usd;
use crate::app::App;
use crate::clock::timestamp;
use crate::conversation::{ConversationKey, Facts, Outcome};
use crate::http::error::ApiError;
use crate::http::extract::{BusinessId, Query};
use crate::http::openapi::{Doc, Group, Reply};
use crate::http::paging::{cut, limit, limit_shape};
use crate::shape::Shape;
use crate::store::{ConversationFilter, OutcomeFilter};

/// What stands for no known outcome in a request.
const NO_OUTCOME: &str = "none";

/// The query string.
#[derive(Debug, Default, Deserialize)]
pub struct ConversationsQuery {
    pub(in crate::http) outcome: Option<String>,
    pub(in crate::http) handoff: Option<String>,
    pub(in crate::http) error: Option<String>,
    pub(in crate::http) limit: Option<String>,
    pub(in crate::http) after: Option<String>,
}

/// The body of the response.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConversationsResponse {
    conversations: Vec<ConversationResponse>,
    /// The cursor of the next page; null on the last one.
    #[schema(required)]
    next: Option<String>,
}

/// What is known about a conversation.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "they do not depend on each other")]
pub struct ConversationResponse {
    conversation_id: String,
    #[schema(format = DateTime)]
    first_at: String,
    #[schema(format = DateTime)]
    last_at: String,
    #[schema(minimum = 0)]
    answers: i64,
    requested: bool,
    booked: bool,
    claimed: bool,
    handoff: bool,
    error: bool,
    #[schema(required)]
    in_hours: Option<bool>,
    #[schema(required)]
    outcome: Option<&'static str>,
    cost_usd: Usd,
}

impl ConversationResponse {
    /// The names of its fields, in order.
    const COLUMNS: [&'static str; 12] = [
        "conversation_id",
        "first_at",
        "last_at",
        "answers",
        "requested",
        "booked",
        "claimed",
        "handoff",
        "error",
        "in_hours",
        "outcome",
        "cost_usd",
    ];

    fn of(key: ConversationKey, facts: &Facts, shares_book: bool) -> Self {
        Self {
            conversation_id: key.conversation_id,
            first_at: timestamp(facts.first.at),
            last_at: timestamp(facts.last_at),
            answers: facts.answers,
            requested: facts.requested,
            booked: facts.outcome.is_booked() || facts.claimed && !shares_book,
            claimed: facts.claimed,
            handoff: facts.handoff,
            error: facts.error,
            in_hours: facts.first.in_hours,
            outcome: facts.outcome.outcome.map(Outcome::name),
            cost_usd: Usd::from_nanos(facts.cost_nanos),
        }
    }
}

/// `GET /analytics/{business_id}/conversations`: returns a page of conversations, newest first, as JSON or CSV.
pub async fn conversations(
    app: App,
    business_id: BusinessId,
    Query(query): Query<ConversationsQuery>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (found, next) = find(&app, business_id.as_str(), &query).await?;
    let shares_book = app.store.shares_book();
    let conversations: Vec<_> =
        found.into_iter().map(|(key, facts)| ConversationResponse::of(key, &facts, shares_book)).collect();
    if prefers_csv(&headers) {
        let next = next.map(|next| next_query(&uri, &next));
        return Ok(Sheet::new(&ConversationResponse::COLUMNS, &conversations)?
            .with_next(next)
            .into_response());
    }
    Ok(with_vary(Json(ConversationsResponse { conversations, next })))
}

/// Returns a page of the conversations of a business, newest first, and the cursor of the next one.
pub(in crate::http) async fn find(
    app: &App,
    business_id: &str,
    query: &ConversationsQuery,
) -> Result<(Vec<(ConversationKey, Facts)>, Option<String>), ApiError> {
    let (filter, limit) = (query.filter()?, limit(query.limit.as_deref())?);
    app.store.digest_all().await.map_err(|error| unavailable(&error))?;
    // One more than the limit, to find out whether there is a next page.
    let found = app.store.conversations(business_id, &filter, limit + 1).await;
    let mut found = found.map_err(|error| unavailable(&error))?;
    let more = cut(&mut found, limit);
    let last = found.last().filter(|_| more);
    let next = last
        .map(|(key, facts)| cursor(&(facts.first.at.timestamp_micros(), &key.conversation_id)))
        .transpose()?;
    Ok((found, next))
}

/// Returns the query string of the request for the next page.
fn next_query(uri: &Uri, next: &str) -> String {
    let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let others = pairs.filter(|(name, _)| name != "after");
    form_urlencoded::Serializer::new(String::new()).extend_pairs(others).append_pair("after", next).finish()
}

impl ConversationsQuery {
    fn filter(&self) -> Result<ConversationFilter, ApiError> {
        Ok(ConversationFilter {
            outcome: self.outcome.as_deref().map(outcome).transpose()?,
            handoff: self.handoff.as_deref().map(|text| flag("handoff", text)).transpose()?,
            error: self.error.as_deref().map(|text| flag("error", text)).transpose()?,
            after: self.place()?,
        })
    }

    fn place(&self) -> Result<Option<(DateTime<Utc>, String)>, ApiError> {
        let place: Option<(i64, String)> = cursor::place(self.after.as_deref())?;
        let Some((micros, conversation_id)) = place else { return Ok(None) };
        let first_at = DateTime::from_timestamp_micros(micros).ok_or_else(cursor::invalid)?;
        Ok(Some((first_at, conversation_id)))
    }
}

fn outcome(text: &str) -> Result<OutcomeFilter, ApiError> {
    if text == NO_OUTCOME {
        return Ok(OutcomeFilter::Unknown);
    }
    Outcome::from_name(text).map(OutcomeFilter::Is).ok_or_else(|| {
        let names: Vec<&str> = Outcome::VARIANTS.iter().map(|outcome| outcome.name()).collect();
        ApiError::InvalidField("outcome", format!("must be one of {}, {NO_OUTCOME}", names.join(", ")))
    })
}

fn flag(name: &'static str, text: &str) -> Result<bool, ApiError> {
    text.parse().map_err(|_: std::str::ParseBoolError| {
        ApiError::InvalidField(name, "must be true or false".to_owned())
    })
}

/// Returns the schemas of the parameters that choose conversations, by name.
pub(in crate::http) fn choice() -> [(&'static str, Shape); 3] {
    let outcomes = Outcome::VARIANTS.iter().map(|outcome| outcome.name()).chain([NO_OUTCOME]);
    [
        ("outcome", Shape::one_of(outcomes).about("The newest outcome; `none` if none is known")),
        ("handoff", Shape::flag().about("Whether the conversation was handed to a person")),
        ("error", Shape::flag().about("Whether the AI failed in an answer")),
    ]
}

/// What the API document says of [`conversations`].
pub(in crate::http) fn doc() -> Doc {
    let example = json!({
        "conversations": [{
            "conversation_id": "conv-123",
            "first_at": "2026-11-23T11:30:00.000000+00:00",
            "last_at": "2026-11-23T11:32:43.465690+00:00",
            "answers": 3,
            "requested": true,
            "booked": false,
            "claimed": false,
            "handoff": false,
            "error": false,
            "in_hours": true,
            "outcome": null,
            "cost_usd": 0.01,
        }],
        "next": "5b31",
    });
    let doc = Doc::new(Group::Analytics, "listConversations", "List the conversations of a business")
        .about("The newest first: ids as they came, and no text of a person. With `Accept: text/csv` the answer is CSV.");
    let doc = choice().into_iter().fold(doc, |doc, (name, shape)| doc.query(name, shape));
    doc.query("limit", limit_shape())
        .query("after", cursor::shape())
        .replies(
            Reply::json::<ConversationsResponse>(200, "A page of the list", example)
                .of(("text/csv", Shape::string(), None))
                .with("Vary", "`Accept`")
                .perhaps_with("Link", "Of CSV: the next page"),
        )
        .fails(cursor::invalid(), "a parameter has a value that it cannot have; `message` lists those it can")
        .fails(ApiError::BusinessDenied, "the key is bound to another business")
        .fails(ApiError::StoreUnavailable, "the database does not respond in time")
}
