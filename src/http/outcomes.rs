//! `POST /outcomes`: what became of the appointments of conversations.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::batch::{reply, respond, store_valid};
use super::error::ApiError;
use super::extract::{MAX_OUTCOMES, OutcomeBody, ReportedOutcomes, idempotency_shape, outcome_shape};
use super::openapi::{Doc, Group, Reply};
use super::track::why_unkept;
use crate::app::App;
use crate::clock::timestamp;
use crate::event::Refusal;
use crate::ingest::{Destination, Tracked};
use crate::shape::Shape;
use crate::store::{NewOutcome, Posting};

/// The body of the response to a single outcome.
#[derive(Debug, Serialize, ToSchema)]
struct OutcomeResponse {
    status: &'static str,
    message: &'static str,
    /// Why the outcome is counted but not stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    duplicate: bool,
    #[schema(format = DateTime)]
    timestamp: String,
}

/// `POST /outcomes`: stores one outcome or a batch. Responds once they are committed.
pub async fn post(app: App, body: OutcomeBody) -> Result<Response, ApiError> {
    match body.into_outcomes(app.clock.now())? {
        ReportedOutcomes::One(outcome) => one(&app, outcome).await.map(IntoResponse::into_response),
        ReportedOutcomes::Batch(outcomes) => {
            let results = store_valid(outcomes, async |valid| {
                let postings = store(&app, &valid).await?;
                Ok(postings.into_iter().map(|posting| Ok(tracked(posting))).collect())
            });
            Ok(respond(&app, results.await?, "Outcomes recorded"))
        }
    }
}

async fn one(app: &App, outcome: NewOutcome) -> Result<Json<OutcomeResponse>, ApiError> {
    let posting = store(app, &[outcome]).await?.pop().ok_or(ApiError::Internal)?;
    Ok(Json(OutcomeResponse {
        status: "success",
        message: "Outcome recorded",
        reason: (posting == Posting::CountedOnly).then_some(why_unkept(&app.config)),
        duplicate: posting == Posting::Duplicate,
        timestamp: timestamp(app.clock.now()),
    }))
}

async fn store(app: &App, outcomes: &[NewOutcome]) -> Result<Vec<Posting>, ApiError> {
    let postings = app.store.post_outcomes(outcomes, app.clock.now()).await.map_err(|error| {
        tracing::error!("cannot store outcomes: {error}");
        ApiError::StoreUnavailable
    })?;
    app.ingest.notify_digest();
    Ok(postings)
}

const fn tracked(posting: Posting) -> Tracked {
    let (duplicate, destination) = match posting {
        Posting::Recorded => (false, Destination::Store),
        Posting::Duplicate => (true, Destination::Store),
        Posting::CountedOnly => (false, Destination::CountedOnly),
    };
    Tracked { duplicate, destination }
}

/// What the API document says of [`post`].
pub(super) fn doc() -> Doc {
    let recorded = json!({"status": "success", "message": "Outcome recorded", "timestamp": "2026-11-27T10:05:12.093125+00:00"});
    let outcome = json!({
        "business_id": "test-business",
        "conversation_id": "conv-123",
        "outcome": "kept",
        "value_usd": 120,
        "occurred_at": "2026-11-27T10:00:00Z",
    });
    let batch =
        Shape::object().required("outcomes", Shape::list(Shape::component("Outcome"), 1..=MAX_OUTCOMES));
    let wrong =
        ApiError::InvalidField("outcome", "must be one of booked, kept, no_show, cancelled".to_owned());
    Doc::new(Group::Events, "postOutcomes", "Report what became of appointments")
        .about(
            "One outcome, or up to 1,000 in `outcomes`, or one in each line with `Content-Type: application/x-ndjson`. A batch is answered \
             like `/track/batch`. Of the outcomes of a conversation, the newest by `occurred_at` holds.",
        )
        .header("Idempotency-Key", idempotency_shape())
        .component("Outcome", outcome_shape())
        .body("Outcomes", Shape::any_of([Shape::component("Outcome"), batch]), outcome)
        .takes("application/x-ndjson", Shape::string(), None)
        .replies(Reply::json::<OutcomeResponse>(200, "The outcome is stored; or, with a `reason`, counted and not stored", recorded))
        .replies(reply(200, "Of a batch, those that are valid are", "Outcomes recorded"))
        .fails(Refusal::NoData, "there are no outcomes")
        .fails(Refusal::Missing("conversation_id"), "a required field is missing or null; the text names it")
        .fails(wrong, "a field, or `Idempotency-Key`, has the wrong type or is out of bounds; the text names it")
        .fails(ApiError::InvalidBody("unknown field: outcom".to_owned()), "a field is unknown")
        .fails(ApiError::AllRefused("Missing required field: outcome".to_owned()), "every outcome is refused; the text is that of the first")
        .fails(Refusal::NotJson { line: 1, column: 8 }, "the body is not JSON")
        .fails(Refusal::NotObject, "the body is JSON, but no object")
        .fails(ApiError::BusinessDenied, "the key is bound to another business")
        .fails(ApiError::StoreUnavailable, "the database cannot take them now; nothing is counted")
}
