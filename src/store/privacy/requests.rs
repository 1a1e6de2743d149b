//! The list of customers' privacy requests.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::find::json_list;
use super::{Rows, Table};
use crate::audit::Entry;
use crate::clock::timestamp;
use crate::privacy::subject::SubjectHash;
use crate::store::audit::Append;
use crate::store::{READ_LIMIT, Store, StoreError, dialect};

/// A customer's privacy request.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Its id.
    pub id: String,
    /// `export` or `erase`.
    pub kind: String,
    /// The kind of identifier the request named: `email`, `phone`, `conversation_id` or `session_id`.
    pub selector: String,
    /// The hash that identifies the customer.
    pub subject: SubjectHash,
    /// The only business that it was made to; `None` for all.
    pub business_id: Option<String>,
    /// How it was received.
    pub source: String,
    /// When it was received.
    pub received_at: DateTime<Utc>,
    /// When it must be completed.
    pub due_at: DateTime<Utc>,
    /// When it was completed, if it was.
    pub done_at: Option<DateTime<Utc>>,
    /// The receipt of its completion.
    pub receipt_id: Option<String>,
    /// The number of exported or erased rows by table.
    pub counts: Option<Map<String, Value>>,
    /// Whether its time was extended.
    pub extended: Option<Extension>,
}

/// The extension of the time for a request by two months.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// When it was recorded.
    pub at: DateTime<Utc>,
    /// `complexity` or `number of requests`.
    pub reason: String,
}

impl Request {
    /// Returns whether data about the person was found when the request was completed, other than records of requests; `None`
    /// if it is open, or was completed without counts.
    #[must_use]
    pub fn found_data(&self) -> Option<bool> {
        let counts = self.counts.as_ref().filter(|_| self.done_at.is_some())?;
        Some(has_data(counts))
    }
}

/// Returns whether any of these counts, which may be in groups, is of data.
fn has_data(counts: &Map<String, Value>) -> bool {
    let records = [Table::Audit.name(), Table::Requests.name()];
    counts.iter().filter(|(table, _)| !records.contains(&table.as_str())).any(|(_, count)| match count {
        Value::Object(group) => has_data(group),
        count => count.as_u64().is_some_and(|count| count > 0),
    })
}

/// The completion of a request, whether or not the request was recorded before.
#[derive(Debug, Clone)]
pub struct Completion {
    /// The completed request, with its receipt and counts, as added to the list if no open one matches.
    pub request: Request,
    /// The hashes under which open ones may be recorded.
    pub subjects: Vec<SubjectHash>,
    /// Whether to add it to the list in that case.
    pub listed: bool,
}

/// The number of open requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenRequests {
    /// Requests that are not completed.
    pub open: i64,
    /// Open requests past their due time.
    pub overdue: i64,
}

from_row!(OpenRequests { open, overdue });

/// A row of `mlops_privacy_requests` as the database returns it.
struct Raw {
    id: String,
    kind: String,
    selector: String,
    subject: Vec<u8>,
    business_id: Option<String>,
    source: String,
    received_at: DateTime<Utc>,
    due_at: DateTime<Utc>,
    done_at: Option<DateTime<Utc>>,
    receipt_id: Option<String>,
    counts: Option<String>,
    extended_at: Option<DateTime<Utc>>,
    extension_reason: Option<String>,
}

from_row!(Raw {
    id,
    kind,
    selector,
    subject,
    business_id,
    source,
    received_at,
    due_at,
    done_at,
    receipt_id,
    counts,
    extended_at,
    extension_reason,
});

/// Selects [`Raw`]. The columns are named, because a later migration may add some while this version still runs.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select id, kind, selector, subject, business_id, source, received_at, due_at, done_at, receipt_id, counts, extended_at,
                extension_reason
             from mlops_privacy_requests ",
            $rest
        )
    };
}

impl TryFrom<Raw> for Request {
    type Error = StoreError;

    fn try_from(raw: Raw) -> Result<Self, StoreError> {
        let unreadable = |column: &str| StoreError::Unreadable(format!("mlops_privacy_requests.{column}"));
        let subject: Result<[u8; 32], _> = raw.subject.try_into();
        let counts = raw.counts.map(|counts| serde_json::from_str(&counts)).transpose();
        Ok(Self {
            id: raw.id,
            kind: raw.kind,
            selector: raw.selector,
            subject: subject.map_err(|_: Vec<u8>| unreadable("subject"))?.into(),
            business_id: raw.business_id,
            source: raw.source,
            received_at: raw.received_at,
            due_at: raw.due_at,
            done_at: raw.done_at,
            receipt_id: raw.receipt_id,
            counts: counts.map_err(|_: serde_json::Error| unreadable("counts"))?,
            extended: raw.extended_at.zip(raw.extension_reason).map(|(at, reason)| Extension { at, reason }),
        })
    }
}

impl Store {
    /// Adds a request to the list, with its entry in the audit trail.
    pub async fn add_request(
        &self,
        request: &Request,
        entry: &Entry,
        at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        on!(&self.admin, READ_LIMIT, |conn| {
            let mut tx = dialect::begin(conn).await?;
            add(&mut *tx, request).await?;
            tx.append(at, entry).await?;
            tx.commit().await
        })
    }

    /// Records the completion of a request, with its entry in the audit trail.
    pub async fn complete_request(
        &self,
        done: &Completion,
        entry: &Entry,
        at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        on!(&self.admin, READ_LIMIT, |conn| {
            let mut tx = dialect::begin(conn).await?;
            complete(&mut *tx, done).await?;
            tx.append(at, entry).await?;
            tx.commit().await
        })
    }

    /// Returns at most `limit` requests after the first `offset`, made to `business_id` or, if that is `None`, to any: open ones by when they
    /// are due, then completed ones, the latest first.
    pub async fn requests(
        &self,
        business_id: Option<&str>,
        offset: u32,
        limit: u32,
    ) -> Result<Vec<Request>, StoreError> {
        const SQL: &str = select!(
            "where coalesce($3, business_id) is not distinct from business_id
             order by case when done_at is null then 0 else 1 end,
                case when done_at is null then due_at end, done_at desc, id limit $1 offset $2"
        );
        let rows: Vec<Raw> = on!(&self.read, READ_LIMIT, |conn| {
            sqlx::query_as(SQL)
                .bind(i64::from(limit))
                .bind(i64::from(offset))
                .bind(business_id)
                .fetch_all(conn)
                .await
        })?;
        rows.into_iter().map(Request::try_from).collect()
    }

    /// Returns the request with this id.
    pub async fn request(&self, id: &str) -> Result<Option<Request>, StoreError> {
        const SQL: &str = select!("where id = $1");
        let row: Option<Raw> =
            on!(&self.read, READ_LIMIT, |conn| sqlx::query_as(SQL).bind(id).fetch_optional(conn).await)?;
        row.map(Request::try_from).transpose()
    }

    /// Records the due date and the extension of `extended`, with its entry in the audit trail. Returns `false`, and changes
    /// nothing, if the request is completed, was extended before, or was due before `at`.
    pub async fn extend_request(
        &self,
        extended: &Request,
        entry: &Entry,
        at: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        on!(&self.admin, READ_LIMIT, |conn| {
            let mut tx = dialect::begin(conn).await?;
            let is_extended = extend(&mut *tx, extended, at).await?;
            if is_extended {
                tx.append(at, entry).await?;
                tx.commit().await?;
            }
            Ok(is_extended)
        })
    }

    /// Returns the number of open requests as of `now`, made to `business_id` or, if that is `None`, to any.
    pub async fn open_requests(
        &self,
        business_id: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<OpenRequests, StoreError> {
        const SQL: &str = "select count(*) as open, count(case when due_at < $1 then 1 end) as overdue
            from mlops_privacy_requests
            where done_at is null and coalesce($2, business_id) is not distinct from business_id";
        on!(&self.read, READ_LIMIT, |conn| {
            sqlx::query_as(SQL).bind(now).bind(business_id).fetch_one(conn).await
        })
    }
}

/// Completes the open requests of this kind and customer; one to all businesses only if all were searched. If there is none, adds the
/// completed request to the list.
pub(in crate::store) async fn complete<C: Rows>(conn: &mut C, done: &Completion) -> Result<(), sqlx::Error> {
    let Request { kind, business_id, done_at, receipt_id, counts, .. } = &done.request;
    let sql = format!(
        "update mlops_privacy_requests set done_at = {}, receipt_id = $2, counts = $3
         where subject {} and kind = $5 and done_at is null and ($6 = '' or business_id = $6)",
        C::time(1),
        C::any_bytes(4)
    );
    let subjects: Vec<String> = done.subjects.iter().map(SubjectHash::to_hex).collect();
    let binds = [
        done_at.map(timestamp).unwrap_or_default(),
        receipt_id.clone().unwrap_or_default(),
        text(counts.as_ref()),
        json_list(&subjects),
        kind.clone(),
        business_id.clone().unwrap_or_default(),
    ];
    if conn.run(sql, &binds).await? == 0 && done.listed {
        add(conn, &done.request).await?;
    }
    Ok(())
}

async fn extend<C: Rows>(conn: &mut C, extended: &Request, at: DateTime<Utc>) -> Result<bool, sqlx::Error> {
    let sql = format!(
        "update mlops_privacy_requests set due_at = {}, extended_at = {}, extension_reason = $4
         where id = $1 and done_at is null and extended_at is null and due_at >= {}",
        C::time(2),
        C::time(3),
        C::time(3)
    );
    let reason = extended.extended.as_ref().map(|extension| extension.reason.clone()).unwrap_or_default();
    let binds = [extended.id.clone(), timestamp(extended.due_at), timestamp(at), reason];
    Ok(conn.run(sql, &binds).await? > 0)
}

async fn add<C: Rows>(conn: &mut C, request: &Request) -> Result<(), sqlx::Error> {
    let sql = format!(
        "insert into mlops_privacy_requests
            (id, kind, selector, subject, source, received_at, due_at, done_at, receipt_id, counts, business_id)
         values ($1, $2, $3, {}, $5, {}, {}, {}, nullif($9, ''), nullif($10, ''), nullif($11, ''))",
        C::bytes(4),
        C::time(6),
        C::time(7),
        C::optional_time(8)
    );
    let binds = [
        request.id.clone(),
        request.kind.clone(),
        request.selector.clone(),
        request.subject.to_hex(),
        request.source.clone(),
        timestamp(request.received_at),
        timestamp(request.due_at),
        request.done_at.map(timestamp).unwrap_or_default(),
        request.receipt_id.clone().unwrap_or_default(),
        request.counts.as_ref().map(|counts| text(Some(counts))).unwrap_or_default(),
        request.business_id.clone().unwrap_or_default(),
    ];
    conn.run(sql, &binds).await.map(drop)
}

fn text(counts: Option<&Map<String, Value>>) -> String {
    serde_json::to_string(&counts).expect("a map of numbers is JSON")
}
