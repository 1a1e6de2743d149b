//! `GET /admin/audit`: the audit trail, and whether its hash chain is intact.

use std::time::Duration;

use axum::Json;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::error::ApiError;
use super::extract::Query;
use super::openapi::{Doc, Group, Reply};
use super::paging::{cut, number, number_shape};
use crate::app::App;
use crate::audit::chain::StoredEntry;
use crate::audit::purge::Purge;
use crate::audit::verify::{Broken, Verification};
use crate::clock::{parse_timestamp, timestamp};
use crate::shape::Shape;
use crate::store::StoreError;

/// The time limit of verifying the chain for one response. `mlops-service audit verify` checks all of it.
const PATIENCE: Duration = Duration::from_secs(1);

/// The default number of entries in a response.
const DEFAULT_LIMIT: u32 = 100;

/// The maximum number of entries in a response.
const MAX_LIMIT: u32 = 1_000;

/// The query string.
#[derive(Debug, Deserialize)]
pub struct AuditQuery {
    since: Option<String>,
    limit: Option<String>,
}

/// The body of the response.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditResponse {
    /// Oldest first.
    entries: Vec<AuditEntry>,
    /// The `since` of the next page; null on the last one.
    #[schema(required, minimum = 1)]
    next: Option<i64>,
    chain: Chain,
}

/// An entry, with all fields that its hash covers.
#[derive(Debug, Serialize, ToSchema)]
struct AuditEntry {
    #[schema(minimum = 1)]
    seq: i64,
    #[schema(format = DateTime)]
    at: String,
    actor: String,
    action: String,
    #[schema(required)]
    request_id: Option<String>,
    #[schema(required)]
    subject: Option<String>,
    /// Exactly as stored, or as a string if it is not JSON.
    #[schema(value_type = Value)]
    details: Box<RawValue>,
    previous: String,
    hash: String,
}

/// The result of recomputing the chain.
#[derive(Debug, Serialize, ToSchema)]
struct Chain {
    intact: bool,
    /// Whether all entries were checked within the time limit.
    complete: bool,
    /// How many entries were checked.
    entries: u64,
    /// The last intact one of them, in the form that `audit verify --head` accepts.
    head: String,
    #[schema(required)]
    broken: Option<Fault>,
    /// The purges that entries tell of.
    purges: Vec<ToldPurge>,
}

/// A purge of the oldest entries.
#[derive(Debug, Serialize, ToSchema)]
struct ToldPurge {
    #[schema(format = DateTime)]
    at: String,
    rows: u64,
    #[schema(minimum = 1)]
    last_seq: i64,
    #[schema(format = DateTime)]
    last_at: String,
}

/// The first broken entry.
#[derive(Debug, Serialize, ToSchema)]
struct Fault {
    #[schema(minimum = 1)]
    seq: i64,
    #[serde(rename = "fault")]
    name: &'static str,
    message: String,
}

/// `GET /admin/audit`: returns entries from a sequence number or a time on, and whether the whole chain is
/// intact.
pub async fn list(app: App, Query(query): Query<AuditQuery>) -> Result<Json<AuditResponse>, ApiError> {
    let (seq, since) = since(query.since.as_deref().unwrap_or("1"))?;
    let limit = number("limit", query.limit.as_deref(), DEFAULT_LIMIT, 1..=MAX_LIMIT)?;
    // One more than the limit, to find out whether there is a next page.
    let mut entries = app.store.audit(seq, since, limit + 1).await.map_err(|error| unavailable(&error))?;
    let verified =
        app.store.verify_audit(None, app.clock.now(), PATIENCE).await.map_err(|error| unavailable(&error))?;
    let more = cut(&mut entries, limit);
    // Unreadable entries are left out; verifying the chain reports them.
    let entries: Vec<StoredEntry> = entries.into_iter().filter_map(Result::ok).collect();
    let next = entries.last().filter(|_| more).map(|last| last.seq.saturating_add(1));
    Ok(Json(AuditResponse {
        entries: entries.into_iter().map(AuditEntry::from).collect(),
        next,
        chain: verified.into(),
    }))
}

const INVALID_SINCE: ApiError = ApiError::InvalidValue(
    "since",
    "since must be the seq of an entry, or a time such as 2024-01-15T10:30:00Z",
);

fn since(text: &str) -> Result<(i64, DateTime<Utc>), ApiError> {
    if let Ok(seq) = text.parse() {
        return Ok((seq, DateTime::UNIX_EPOCH));
    }
    // In a query string, an unescaped + stands for a space.
    let at = parse_timestamp(&text.replace(' ', "+"));
    at.map(|at| (1, at)).ok_or(INVALID_SINCE)
}

fn unavailable(error: &StoreError) -> ApiError {
    tracing::error!("cannot read the audit trail: {error}");
    ApiError::StoreUnavailable
}

impl From<StoredEntry> for AuditEntry {
    fn from(kept: StoredEntry) -> Self {
        let as_string = |text| RawValue::from_string(serde_json::Value::String(text).to_string());
        let details = RawValue::from_string(kept.details.clone()).or_else(|_no_json| as_string(kept.details));
        Self {
            seq: kept.seq,
            at: timestamp(kept.at),
            actor: kept.actor,
            action: kept.action,
            request_id: kept.request_id,
            subject: kept.subject.map(hex::encode),
            details: details.expect("a string is JSON"),
            previous: hex::encode(kept.previous),
            hash: hex::encode(kept.hash),
        }
    }
}

impl From<Purge> for ToldPurge {
    fn from(purge: Purge) -> Self {
        let Purge { at, rows, last_seq, last_at } = purge;
        Self { at: timestamp(at), rows, last_seq, last_at: timestamp(last_at) }
    }
}

impl From<Verification> for Chain {
    fn from(verified: Verification) -> Self {
        let broken = verified.broken.map(|broken: Broken| Fault {
            seq: broken.seq,
            name: broken.fault.name(),
            message: broken.to_string(),
        });
        Self {
            intact: broken.is_none(),
            complete: verified.complete,
            entries: verified.entries,
            head: verified.head.to_string(),
            broken,
            purges: verified.purges.into_iter().map(ToldPurge::from).collect(),
        }
    }
}

/// What the API document says of [`list`].
pub(super) fn doc() -> Doc {
    let hash = |digit: &str| digit.repeat(64);
    let example = json!({
        "entries": [{
            "seq": 1,
            "at": "2026-11-24T16:10:14.000000+00:00",
            "actor": "service key",
            "action": "key.created",
            "request_id": "01936b5c7a1e7c439d0e5b1f0c9a7d52",
            "subject": null,
            "details": {"key_id": "3b1f0c9a7d52e684"},
            "previous": hash("0"),
            "hash": hash("5"),
        }],
        "next": null,
        "chain": {
            "intact": true,
            "complete": true,
            "entries": 1,
            "head": format!("1:{}", hash("5")),
            "broken": null,
            "purges": [],
        },
    });
    let since =
        Shape::any_of([Shape::whole(i64::MIN..=i64::MAX), Shape::in_format("date-time")]).by_default(1);
    Doc::new(Group::Administration, "listAudit", "Read the audit trail")
        .about("The oldest entries first, and whether the whole hash chain is intact, as far as a second suffices to check it.")
        .query("since", since.about("The `seq` of the first entry, or a time"))
        .query("limit", number_shape(DEFAULT_LIMIT, 1..=MAX_LIMIT).about("How many entries to return at most"))
        .replies(Reply::json::<AuditResponse>(200, "Entries, and the state of the chain", example).then("listAudit", "since", "$response.body#/next"))
        .fails(INVALID_SINCE, "a parameter is invalid; the text names it")
        .fails(ApiError::StoreUnavailable, "the database does not respond in time")
}
