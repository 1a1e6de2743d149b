//! What customers asked for: the list of requests to the privacy desk.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use sqlx::FromRow;

use super::Rows;
use crate::audit::Entry;
use crate::clock::timestamp;
use crate::privacy::subject::SubjectHash;
use crate::store::audit::Append;
use crate::store::{READ_LIMIT, Store, StoreError, dialect};

/// What a customer asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Its name.
    pub id: String,
    /// `export` or `erase`.
    pub kind: String,
    /// What named the customer: `email`, `phone`, `conversation_id` or `session_id`.
    pub selector: String,
    /// Stands for the customer.
    pub subject: SubjectHash,
    /// How it came.
    pub source: String,
    /// When it came.
    pub received_at: DateTime<Utc>,
    /// When it must be done.
    pub due_at: DateTime<Utc>,
    /// When it was done, if it is.
    pub done_at: Option<DateTime<Utc>>,
    /// The receipt of what was done.
    pub receipt_id: Option<String>,
    /// Rows by table, of what was done.
    pub counts: Option<Map<String, Value>>,
}

/// What was done about a request, whether somebody noted it before or not.
#[derive(Debug, Clone)]
pub struct Completion {
    /// The request as it goes on the list where none was noted; done, with its receipt and counts.
    pub request: Request,
    /// Whether it goes on the list then.
    pub listed: bool,
}

/// How many requests are open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromRow)]
pub struct OpenRequests {
    /// How many requests are not done.
    pub open: i64,
    /// How many of them should be.
    pub overdue: i64,
}

/// A row of `mlops_privacy_requests` as the database gives it.
#[derive(FromRow)]
struct Raw {
    id: String,
    kind: String,
    selector: String,
    subject: Vec<u8>,
    source: String,
    received_at: DateTime<Utc>,
    due_at: DateTime<Utc>,
    done_at: Option<DateTime<Utc>>,
    receipt_id: Option<String>,
    counts: Option<String>,
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
            source: raw.source,
            received_at: raw.received_at,
            due_at: raw.due_at,
            done_at: raw.done_at,
            receipt_id: raw.receipt_id,
            counts: counts.map_err(|_: serde_json::Error| unreadable("counts"))?,
        })
    }
}

impl Store {
    /// Puts a request on the list, with its entry in the audit trail.
    pub async fn note_request(
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

    /// Notes what was done, with its entry in the audit trail.
    pub async fn note_done(
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

    /// At most `most` requests after the first `skipped`: those that are open first, by when they are due, then those that
    /// are done, the last one first.
    pub async fn requests(&self, skipped: u32, most: u32) -> Result<Vec<Request>, StoreError> {
        const SQL: &str = "select * from mlops_privacy_requests
            order by case when done_at is null then 0 else 1 end,
                case when done_at is null then due_at end, done_at desc, id limit $1 offset $2";
        let rows: Vec<Raw> = on!(&self.read, READ_LIMIT, |conn| {
            sqlx::query_as(SQL).bind(i64::from(most)).bind(i64::from(skipped)).fetch_all(conn).await
        })?;
        rows.into_iter().map(Request::try_from).collect()
    }

    /// How many requests are open at the time `now`.
    pub async fn open_requests(&self, now: DateTime<Utc>) -> Result<OpenRequests, StoreError> {
        const SQL: &str = "select count(*) as open, count(case when due_at < $1 then 1 end) as overdue
            from mlops_privacy_requests where done_at is null";
        on!(&self.read, READ_LIMIT, |conn| sqlx::query_as(SQL).bind(now).fetch_one(conn).await)
    }
}

/// Completes the open requests of this kind and customer; where there is none, puts what was done on the list.
pub(in crate::store) async fn complete<C: Rows>(conn: &mut C, done: &Completion) -> Result<(), sqlx::Error> {
    let Request { subject, kind, done_at, receipt_id, counts, .. } = &done.request;
    let sql = format!(
        "update mlops_privacy_requests set done_at = {}, receipt_id = $2, counts = $3
         where subject = {} and kind = $5 and done_at is null",
        C::time(1),
        C::bytes(4)
    );
    let binds = [
        done_at.map(timestamp).unwrap_or_default(),
        receipt_id.clone().unwrap_or_default(),
        text(counts.as_ref()),
        hex::encode(subject.bytes()),
        kind.clone(),
    ];
    if conn.run(sql, &binds).await? == 0 && done.listed {
        add(conn, &done.request).await?;
    }
    Ok(())
}

async fn add<C: Rows>(conn: &mut C, request: &Request) -> Result<(), sqlx::Error> {
    let sql = format!(
        "insert into mlops_privacy_requests
            (id, kind, selector, subject, source, received_at, due_at, done_at, receipt_id, counts)
         values ($1, $2, $3, {}, $5, {}, {}, {}, nullif($9, ''), nullif($10, ''))",
        C::bytes(4),
        C::time(6),
        C::time(7),
        C::optional_time(8)
    );
    let binds = [
        request.id.clone(),
        request.kind.clone(),
        request.selector.clone(),
        hex::encode(request.subject.bytes()),
        request.source.clone(),
        timestamp(request.received_at),
        timestamp(request.due_at),
        request.done_at.map(timestamp).unwrap_or_default(),
        request.receipt_id.clone().unwrap_or_default(),
        request.counts.as_ref().map(|counts| text(Some(counts))).unwrap_or_default(),
    ];
    conn.run(sql, &binds).await.map(drop)
}

fn text(counts: Option<&Map<String, Value>>) -> String {
    serde_json::to_string(&counts).expect("a map of numbers is JSON")
}
