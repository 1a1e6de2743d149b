//! `GET /admin/audit`: the audit trail, and whether its hash chain is intact.

use std::time::Duration;

use axum::Json;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::ApiError;
use super::extract::Query;
use super::paging::{cut, number};
use crate::app::App;
use crate::audit::chain::StoredEntry;
use crate::audit::purge::Purge;
use crate::audit::verify::{Broken, Verification};
use crate::clock::{parse_timestamp, timestamp};
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
#[derive(Debug, Serialize)]
pub struct AuditResponse {
    /// Oldest first.
    entries: Vec<AuditEntry>,
    /// The `since` of the next page; null on the last one.
    next: Option<i64>,
    chain: Chain,
}

/// An entry, with all fields that its hash covers.
#[derive(Debug, Serialize)]
struct AuditEntry {
    seq: i64,
    at: String,
    actor: String,
    action: String,
    request_id: Option<String>,
    subject: Option<String>,
    /// Exactly as stored, or as a string if it is not JSON.
    details: Box<RawValue>,
    previous: String,
    hash: String,
}

/// The result of recomputing the chain.
#[derive(Debug, Serialize)]
struct Chain {
    intact: bool,
    /// Whether all entries were checked within the time limit.
    complete: bool,
    /// How many entries were checked.
    entries: u64,
    /// The last intact one of them, in the form that `audit verify --head` accepts.
    head: String,
    broken: Option<Fault>,
    /// The purges that entries tell of.
    purges: Vec<ToldPurge>,
}

/// A purge of the oldest entries.
#[derive(Debug, Serialize)]
struct ToldPurge {
    at: String,
    rows: u64,
    last_seq: i64,
    last_at: String,
}

/// The first broken entry.
#[derive(Debug, Serialize)]
struct Fault {
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

fn since(text: &str) -> Result<(i64, DateTime<Utc>), ApiError> {
    if let Ok(seq) = text.parse() {
        return Ok((seq, DateTime::UNIX_EPOCH));
    }
    // In a query string, an unescaped + stands for a space.
    let at = parse_timestamp(&text.replace(' ', "+"));
    let must_be = "since must be the seq of an entry, or a time such as 2024-01-15T10:30:00Z";
    at.map(|at| (1, at)).ok_or(ApiError::InvalidValue("since", must_be))
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
