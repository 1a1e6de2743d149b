//! `POST /outcomes`: what became of the appointments of conversations.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::error::{ApiError, error_text};
use super::extract::{OutcomeBody, ReportedOutcomes};
use super::track::why_unkept;
use crate::app::App;
use crate::clock::timestamp;
use crate::security::{Incident, SecurityEvent};
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

/// The body of the response to a batch, unless all its outcomes are rejected.
#[derive(Debug, Serialize)]
struct OutcomesResponse {
    status: &'static str,
    message: &'static str,
    accepted: usize,
    duplicates: usize,
    /// How many outcomes are counted but not stored; `reason` is why.
    #[serde(skip_serializing_if = "Option::is_none")]
    unkept: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    rejected: Vec<Rejected>,
    prometheus_updated: bool,
    database_stored: bool,
    timestamp: String,
}

/// A rejected outcome.
#[derive(Debug, Serialize)]
struct Rejected {
    /// Its index in the batch, from 0.
    index: usize,
    error: String,
}

/// `POST /outcomes`: stores one outcome or a batch. Responds once they are committed.
pub async fn post(app: App, body: OutcomeBody) -> Result<Response, ApiError> {
    match body.into_outcomes(app.clock.now())? {
        ReportedOutcomes::One(outcome) => one(&app, outcome).await.map(IntoResponse::into_response),
        ReportedOutcomes::Batch(outcomes) => batch(&app, outcomes).await,
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

async fn batch(app: &App, outcomes: Vec<Result<NewOutcome, ApiError>>) -> Result<Response, ApiError> {
    let (mut valid, mut rejected, mut first, mut denied) = (Vec::new(), Vec::new(), None, 0);
    for (index, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(outcome) => valid.push(outcome),
            Err(error) => {
                denied += u64::from(error == ApiError::BusinessDenied);
                rejected.push(Rejected { index, error: error_text(&error) });
                first = first.or(Some(error));
            }
        }
    }
    let is_denied = denied == rejected.len() as u64;
    if let (true, Some(error)) = (valid.is_empty(), first) {
        return Err(if is_denied {
            ApiError::BusinessDenied
        } else {
            ApiError::AllRefused(error_text(&error))
        });
    }
    let postings = store(app, &valid).await?;
    let count = |wanted: Posting| postings.iter().filter(|posting| **posting == wanted).count();
    let (duplicates, unkept) = (count(Posting::Duplicate), count(Posting::CountedOnly));
    let response = OutcomesResponse {
        status: "success",
        message: "Outcomes recorded",
        accepted: postings.len() - duplicates,
        duplicates,
        unkept: Some(unkept).filter(|unkept| *unkept > 0),
        reason: (unkept > 0).then_some(why_unkept(&app.config)),
        rejected,
        prometheus_updated: true,
        database_stored: unkept == 0,
        timestamp: timestamp(app.clock.now()),
    };
    let mut response = Json(response).into_response();
    if denied > 0 {
        // Each business that a caller tries counts, whatever became of the rest.
        response.extensions_mut().insert(Incident::new(SecurityEvent::BusinessDenied, None).repeated(denied));
    }
    Ok(response)
}

async fn store(app: &App, outcomes: &[NewOutcome]) -> Result<Vec<Posting>, ApiError> {
    let postings = app.store.post_outcomes(outcomes, app.clock.now()).await.map_err(|error| {
        tracing::error!("cannot store outcomes: {error}");
        ApiError::StoreUnavailable
    })?;
    app.ingest.notify_digest();
    Ok(postings)
}
