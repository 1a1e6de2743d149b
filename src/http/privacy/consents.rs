//! `/privacy/consents`: the consents that customers gave and withdrew.

pub(in crate::http) mod doc;

use std::collections::HashMap;

use axum::Json;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::audit::{Action, Actor};
use crate::clock::{parse_timestamp, timestamp};
use crate::http::error::ApiError;
use crate::http::extract::{BusinessLimit, JsonBody, NoQuery, Query, Subjects};
use crate::http::paging::{cut, number};
use crate::privacy::consent::{Consent, NamedSubject, Purpose, Statement, not_null, policy_version};
use crate::privacy::subject::SubjectHash;
use crate::store::{ConsentFilter, NumberedConsent, StoreError};

/// The default number of consents in a response.
const DEFAULT_LIMIT: u32 = 50;

/// The maximum number of consents in a response.
const MAX_LIMIT: u32 = 200;

/// The maximum number of purposes in a response.
const MAX_PURPOSES: u32 = 200;

/// A consent. It identifies the customer only by hash.
#[derive(Debug, Serialize, ToSchema)]
struct ConsentResponse {
    id: String,
    /// The hash of the customer.
    subject: String,
    /// The only business it was given to; null for all.
    #[schema(required)]
    business_id: Option<String>,
    purpose: String,
    policy_version: String,
    granted: bool,
    source: String,
    #[schema(format = DateTime)]
    at: String,
}

/// The body of the response to `POST /privacy/consents`.
#[derive(Debug, Serialize, ToSchema)]
pub struct NotedConsentResponse {
    #[serde(flatten)]
    shown: ConsentResponse,
    /// The kind of name that the subject was taken for.
    named_by: &'static str,
    /// The resulting state of the customer's consent to the purpose.
    state: &'static str,
}

/// A page of consents, the latest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConsentPage {
    consents: Vec<ConsentResponse>,
    /// The `before` of the next page; null on the last one.
    #[schema(required, minimum = 1)]
    next: Option<i64>,
}

/// The consent in force for a purpose.
#[derive(Debug, Serialize, ToSchema)]
struct InForce {
    purpose: String,
    #[schema(required)]
    business_id: Option<String>,
    state: &'static str,
    policy_version: String,
    since: String,
}

/// The body of the response to `POST /privacy/consents/search`.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConsentSearchResponse {
    subject: String,
    in_force: Vec<InForce>,
    #[serde(flatten)]
    page: ConsentPage,
}

/// The query string. It identifies a customer only by hash, because URLs end up in logs.
#[derive(Debug, Deserialize)]
pub struct ConsentQuery {
    id: Option<String>,
    subject: Option<String>,
    business_id: Option<String>,
    purpose: Option<String>,
    policy_version: Option<String>,
    granted: Option<String>,
    since: Option<String>,
    before: Option<String>,
    limit: Option<String>,
    #[serde(flatten)]
    others: HashMap<String, String>,
}

/// The body of `POST /privacy/consents/search`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsentSearchRequest {
    subject: NamedSubject,
    #[serde(default, deserialize_with = "not_null")]
    business_id: Option<String>,
    purpose: Option<String>,
    before: Option<i64>,
    limit: Option<u32>,
}

/// `POST /privacy/consents`: records a consent or its withdrawal.
pub async fn note(
    app: App,
    Subjects(hasher): Subjects,
    by: Actor,
    limit: BusinessLimit,
    _: NoQuery,
    JsonBody(mut statement): JsonBody<Statement>,
) -> Result<(StatusCode, Json<NotedConsentResponse>), ApiError> {
    let business_id = limit.within(statement.business_id.take())?;
    let consent = statement.into_consent(business_id, &hasher, app.clock.now());
    let (consent, named_by) = consent.map_err(|(field, must_be)| ApiError::InvalidField(field, must_be))?;
    let action = if consent.granted { Action::ConsentGranted } else { Action::ConsentWithdrawn };
    let entry = by.entry(action).about(consent.subject).with("consent_id", consent.id.to_string());
    let entry = entry.with("business_id", consent.business_id.clone());
    app.store.add_consent(&consent, &entry).await.map_err(|error| unavailable(&error))?;
    let state = state(&consent);
    Ok((StatusCode::CREATED, Json(NotedConsentResponse { shown: consent.into(), named_by, state })))
}

/// `GET /privacy/consents`: lists the consents of all customers, to the caller's business if it has only one.
pub async fn list(
    app: App,
    business: BusinessLimit,
    Query(query): Query<ConsentQuery>,
) -> Result<Json<ConsentPage>, ApiError> {
    let (mut filter, limit) = query.read()?;
    filter.business_id = business.within(filter.business_id)?;
    page(&app, &filter, limit).await.map(Json)
}

/// `POST /privacy/consents/search`: returns the consents of a customer, and those in force.
pub async fn search(
    app: App,
    Subjects(hasher): Subjects,
    limited: BusinessLimit,
    _: NoQuery,
    JsonBody(search): JsonBody<ConsentSearchRequest>,
) -> Result<Json<ConsentSearchResponse>, ApiError> {
    let invalid = |field| move |must_be| ApiError::InvalidField(field, must_be);
    let selector = search.subject.selector(hasher.reader).map_err(invalid("subject"))?;
    let (subject, subjects) = (hasher.hash(&selector), hasher.hashes(&selector));
    let business_id = limited.within(search.business_id)?;
    let purpose = search.purpose.as_deref().map(Purpose::read).transpose().map_err(invalid("purpose"))?;
    let limit = search.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(ApiError::InvalidField("limit", format!("must be a whole number from 1 to {MAX_LIMIT}")));
    }
    let in_force = app.store.consents_in_force(&subjects, business_id.as_deref(), MAX_PURPOSES).await;
    let in_force = in_force.map_err(|error| unavailable(&error))?;
    let in_force =
        in_force.into_iter().filter(|consent| purpose.as_ref().is_none_or(|only| *only == consent.purpose));
    let in_force = in_force.map(InForce::from).collect();
    // What was said to every business holds for this one too.
    let filter = ConsentFilter {
        subjects,
        business_id,
        or_to_all: true,
        purpose,
        before: search.before,
        ..ConsentFilter::default()
    };
    let page = page(&app, &filter, limit).await?;
    Ok(Json(ConsentSearchResponse { subject: subject.to_hex(), in_force, page }))
}

async fn page(app: &App, filter: &ConsentFilter, limit: u32) -> Result<ConsentPage, ApiError> {
    let mut found = app.store.consents(filter, limit + 1).await.map_err(|error| unavailable(&error))?;
    let more = cut(&mut found, limit);
    let next = found.last().map(|(place, _)| *place).filter(|_| more);
    Ok(ConsentPage {
        consents: found.into_iter().map(|(_, consent): NumberedConsent| consent.into()).collect(),
        next,
    })
}

fn unavailable(error: &StoreError) -> ApiError {
    tracing::error!("cannot read or record consents: {error}");
    ApiError::StoreUnavailable
}

const fn state(consent: &Consent) -> &'static str {
    if consent.granted { "granted" } else { "withdrawn" }
}

impl ConsentQuery {
    fn read(self) -> Result<(ConsentFilter, u32), ApiError> {
        if !self.others.is_empty() {
            return Err(ApiError::BadRequest(
                "The query accepts id, subject, business_id, purpose, policy_version, granted, since, before and limit; to search by customer, use POST /privacy/consents/search",
            ));
        }
        let filter = ConsentFilter {
            id: parsed("id", "id must be a consent's id", self.id, |text| text.parse().ok())?,
            subjects: parsed("subject", SUBJECT, self.subject, |text| hash(&text))?.into_iter().collect(),
            business_id: self.business_id,
            or_to_all: false,
            purpose: parsed(
                "purpose",
                "purpose must be 1 to 50 characters from a-z, 0-9 and _",
                self.purpose,
                |text| Purpose::read(&text).ok(),
            )?,
            policy_version: parsed(
                "policy_version",
                "policy_version must be 1 to 50 letters, digits, dots, hyphens or underscores",
                self.policy_version,
                |text| policy_version(text).ok(),
            )?,
            granted: parsed("granted", "granted must be true or false", self.granted, |text| {
                text.parse().ok()
            })?,
            since: parsed("since", SINCE, self.since, |text| time(&text))?,
            before: parsed(
                "before",
                "before must be the next value of a previous page",
                self.before,
                |text| text.parse().ok(),
            )?,
        };
        Ok((filter, number("limit", self.limit.as_deref(), DEFAULT_LIMIT, 1..=MAX_LIMIT)?))
    }
}

const SUBJECT: &str = "subject must be a customer hash of 64 hexadecimal digits; to search by e-mail address, phone number or id, use POST /privacy/consents/search";

const SINCE: &str = "since must be a time such as 2026-01-15T10:30:00Z";

/// Parses a parameter, if it is present.
fn parsed<T>(
    name: &'static str,
    must_be: &'static str,
    text: Option<String>,
    read: impl FnOnce(String) -> Option<T>,
) -> Result<Option<T>, ApiError> {
    text.map(|text| read(text).ok_or(ApiError::InvalidValue(name, must_be))).transpose()
}

fn hash(text: &str) -> Option<SubjectHash> {
    let bytes: [u8; 32] = hex::decode(text).ok()?.try_into().ok()?;
    Some(bytes.into())
}

/// Parses a time. In a query string, an unescaped `+` stands for a space.
fn time(text: &str) -> Option<DateTime<Utc>> {
    parse_timestamp(&text.replace(' ', "+"))
}

impl From<Consent> for ConsentResponse {
    fn from(consent: Consent) -> Self {
        Self {
            id: consent.id.to_string(),
            subject: consent.subject.to_hex(),
            business_id: consent.business_id,
            purpose: consent.purpose.name().to_owned(),
            policy_version: consent.policy_version,
            granted: consent.granted,
            source: consent.source,
            at: timestamp(consent.at),
        }
    }
}

impl From<Consent> for InForce {
    fn from(consent: Consent) -> Self {
        Self {
            purpose: consent.purpose.name().to_owned(),
            state: state(&consent),
            business_id: consent.business_id,
            policy_version: consent.policy_version,
            since: timestamp(consent.at),
        }
    }
}
