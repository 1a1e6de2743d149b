//! `POST /outcomes`: what became of the appointments of conversations.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::batch::{respond, store_valid};
use super::error::ApiError;
use super::extract::{OutcomeBody, ReportedOutcomes};
use super::track::why_unkept;
use crate::app::App;
use crate::clock::timestamp;
use crate::ingest::{Destination, Tracked};
use crate::store::{NewOutcome, Posting};

/// The body of the response to a single outcome.
#[derive(Debug, Serialize)]
struct OutcomeResponse {
    status: &'static str,
    message: &'static str,
    /// Why the outcome is counted but not stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    duplicate: bool,
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
