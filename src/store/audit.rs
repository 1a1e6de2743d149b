//! The audit trail: appending to its chain, reading and verifying it, and purging its beginning.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{FromRow, PgConnection, Row, SqliteConnection, Transaction};

use super::keys::bounded;
use super::{READ_LIMIT, Store, StoreError, dialect};
use crate::audit::chain::{Head, StoredEntry};
use crate::audit::purge::LastPurged;
use crate::audit::verify::{Expected, Verification, Verifier};
use crate::audit::{Action, Actor, Entry};
use crate::clock::timestamp;

/// Entries that verification reads at a time.
const PAGE: i64 = 1_000;

/// The maximum number of entries that one purge removes.
const MAX_PURGED: i64 = 10_000;

/// The time limit of a purge.
const PURGE_LIMIT: Duration = Duration::from_secs(10);

/// The minimum age of an entry that is purged, whatever the caller asks for.
const MIN_DAYS: i64 = 30;

/// Selects the last entry of the chain: the last one that follows another, or the only one. Rows beyond it are not of the chain.
const LAST: &str = "select seq, hash from mlops_audit entry
    where exists (select 1 from mlops_audit before where before.seq = entry.seq - 1)
       or entry.seq = (select min(seq) from mlops_audit)
    order by seq desc limit 1";

/// The columns of [`Raw`].
macro_rules! columns {
    () => {
        concat!("seq, ", bounded!("at"), ", actor, action, request_id, subject, details, previous, hash")
    };
}

/// A row of `mlops_audit`, in the order of [`columns!`].
type Raw = (i64, DateTime<Utc>, String, String, Option<String>, Option<Vec<u8>>, String, Vec<u8>, Vec<u8>);

fn stored_entry(raw: Raw) -> StoredEntry {
    let (seq, at, actor, action, request_id, subject, details, previous, hash) = raw;
    StoredEntry { seq, at, actor, action, request_id, subject, details, previous, hash }
}

/// The result of a purge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purged {
    /// The number of entries removed.
    pub rows: u64,
    /// The sequence number of the last of them.
    pub last_seq: i64,
    /// Its hash, which the first remaining entry links to.
    pub last_hash: [u8; 32],
}

/// A connection that appends to the audit trail, inside a transaction.
pub(super) trait Append {
    /// Appends `entry`. Other writers wait from here to the end of the transaction, so this should be its
    /// last statement.
    async fn append(&mut self, at: DateTime<Utc>, entry: &Entry) -> Result<Head, sqlx::Error>;
}

macro_rules! append {
    ($($connection:ty),+) => {
        $(impl Append for $connection {
            async fn append(&mut self, at: DateTime<Utc>, entry: &Entry) -> Result<Head, sqlx::Error> {
                const NEWEST: &str = "select max(seq) from mlops_audit";
                const ADD: &str = "insert into mlops_audit
                    (seq, at, actor, action, request_id, subject, details, previous, hash)
                    values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
                dialect::lock_audit(&mut *self).await?;
                let last: Option<(i64, Vec<u8>)> = sqlx::query_as(LAST).fetch_optional(&mut *self).await?;
                let newest: Option<i64> = sqlx::query_scalar(NEWEST).fetch_one(&mut *self).await?;
                if let Some(foreign) = newest.filter(|newest| last.as_ref().is_none_or(|last| last.0 < *newest)) {
                    tracing::error!(
                        "row {foreign} of mlops_audit follows no other entry: somebody else inserted it; the trail goes on without it"
                    );
                }
                // A hash of the wrong length is a broken entry, which verification reports; appending
                // continues.
                let head = last.map(|(seq, hash)| Head { seq, hash: hash.try_into().unwrap_or_default() });
                let stored = StoredEntry::after(head.unwrap_or(Head::NONE), at, entry);
                let query = sqlx::query(ADD).bind(stored.seq).bind(stored.at).bind(&stored.actor).bind(&stored.action);
                let query = query.bind(&stored.request_id).bind(&stored.subject).bind(&stored.details);
                query.bind(&stored.previous).bind(&stored.hash).execute(&mut *self).await?;
                Ok(stored.head().unwrap_or(Head::NONE))
            }
        })+
    };
}

append!(PgConnection, SqliteConnection);

/// Appends `entry` in the transaction `tx`. This should be its last statement, because other writers wait for
/// its end. The transaction must have begun with [`dialect::begin`].
pub(super) async fn append<DB>(
    tx: &mut Transaction<'_, DB>,
    at: DateTime<Utc>,
    entry: &Entry,
) -> Result<Head, sqlx::Error>
where
    DB: sqlx::Database,
    DB::Connection: Append,
{
    Append::append(&mut **tx, at, entry).await
}

impl Store {
    /// Appends `entry` to the audit trail. Returns the new head.
    pub async fn append_audit(&self, at: DateTime<Utc>, entry: &Entry) -> Result<Head, StoreError> {
        on!(&self.admin, READ_LIMIT, |conn| {
            let mut tx = dialect::begin(conn).await?;
            let head = append(&mut tx, at, entry).await?;
            tx.commit().await?;
            Ok(head)
        })
    }

    /// Returns at most `limit` entries from the sequence number `seq` and the time `since` on, oldest first.
    /// An entry that cannot be read is an error in the list.
    pub async fn audit(
        &self,
        seq: i64,
        since: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<Result<StoredEntry, StoreError>>, StoreError> {
        const SQL: &str = concat!(
            "select ",
            columns!(),
            " from mlops_audit where seq >= $1 and mlops_audit.at >= $2 order by seq limit $3"
        );
        on!(&self.read, READ_LIMIT, |conn| {
            let query = sqlx::query(SQL).bind(seq).bind(since).bind(i64::from(limit));
            let rows = query.fetch_all(conn).await?;
            Ok(rows
                .iter()
                .map(|row| Raw::from_row(row).map(stored_entry).map_err(StoreError::from))
                .collect())
        })
    }

    /// Returns the head of the trail; `None` if it is empty.
    pub async fn audit_head(&self) -> Result<Option<Head>, StoreError> {
        let last: Option<(i64, Vec<u8>)> =
            on!(&self.read, READ_LIMIT, |conn| sqlx::query_as(LAST).fetch_optional(conn).await)?;
        Ok(last.map(|(seq, hash)| Head { seq, hash: hash.try_into().unwrap_or_default() }))
    }

    /// Returns what must have an entry.
    async fn expected_entries(&self) -> Result<Expected, StoreError> {
        const CREATED: &str = concat!("select id, ", bounded!("created_at"), " from mlops_api_keys");
        const ROTATED: &str = concat!(
            "select id, ",
            bounded!("created_at"),
            " from mlops_api_keys where previous_hash is not null"
        );
        const REVOKED: &str = concat!(
            "select id, ",
            bounded!("revoked_at"),
            " from mlops_api_keys where revoked_at is not null"
        );
        const RECEIPTS: &str = concat!(
            "select receipt_id, ",
            bounded!("done_at"),
            " from mlops_privacy_requests where done_at is not null and receipt_id is not null"
        );
        // What is written together with an entry, and events, which nobody sends before the start, which has one.
        const OTHERS: &str = "select count(*) from (select 1 from ai_totals limit 1) events
            union all select count(*) from (select 1 from mlops_consents limit 1) consents
            union all select count(*) from (select 1 from mlops_privacy_requests limit 1) requests
            union all select count(*) from mlops_retention where done_at is not null";
        const CREATED_AT: &str = "select installed_on from _sqlx_migrations where version = 6";
        const STARTED_AT: &str = concat!("select ", bounded!("waiting_since"), " from mlops_retention");
        on!(&self.read, READ_LIMIT, |conn| {
            let mut read = [(); 4].map(|()| BTreeMap::new());
            for (ids, sql) in read.iter_mut().zip([CREATED, ROTATED, REVOKED, RECEIPTS]) {
                let rows: Vec<(String, DateTime<Utc>)> = sqlx::query_as(sql).fetch_all(&mut *conn).await?;
                ids.extend(rows);
            }
            let others: Vec<i64> = sqlx::query_scalar(OTHERS).fetch_all(&mut *conn).await?;
            let created_at = sqlx::query_scalar(CREATED_AT).fetch_optional(&mut *conn).await?;
            let started_at = sqlx::query_scalar(STARTED_AT).fetch_optional(&mut *conn).await?;
            let [created, rotated, revoked, receipts] = read;
            let has_data = !created.is_empty() || others.iter().any(|rows| *rows > 0);
            Ok(Expected { created, rotated, revoked, receipts, has_data, created_at, started_at })
        })
    }

    /// Recomputes the chain at the time `now`, as far as `time_limit` allows, and compares it with earlier heads, if any are given,
    /// and with the keys and completed requests in the database. Memory use does not grow with the trail.
    pub async fn verify_audit(
        &self,
        recorded: impl IntoIterator<Item = Head>,
        now: DateTime<Utc>,
        time_limit: Duration,
    ) -> Result<Verification, StoreError> {
        const SQL: &str =
            concat!("select ", columns!(), " from mlops_audit where seq > $1 order by seq limit $2");
        let (begun, recorded) = (Instant::now(), recorded.into_iter().collect::<Vec<_>>());
        // Read before the trail, which has the entries of all that is found here.
        let expected = self.expected_entries().await?;
        on!(&self.read, time_limit.saturating_add(READ_LIMIT), |conn| {
            let mut tx = dialect::begin_snapshot(conn).await?;
            let mut verifier = Verifier::new(recorded.clone(), expected.clone(), now);
            let (mut last, mut more) = (i64::MIN, true);
            while more && begun.elapsed() < time_limit {
                let rows = sqlx::query(SQL).bind(last).bind(PAGE).fetch_all(&mut *tx).await?;
                more = i64::try_from(rows.len()) == Ok(PAGE);
                for row in &rows {
                    last = row.try_get(0)?;
                    let goes_on = match Raw::from_row(row) {
                        Ok(raw) => verifier.check(&stored_entry(raw)),
                        Err(_unreadable) => verifier.fail_unreadable(last),
                    };
                    if !goes_on {
                        return Ok(verifier.finish(true));
                    }
                }
            }
            Ok(verifier.finish(!more))
        })
    }

    /// Returns how many entries are dated after `at`.
    pub async fn audit_entries_after(&self, at: DateTime<Utc>) -> Result<i64, StoreError> {
        const SQL: &str = "select count(*) from mlops_audit where mlops_audit.at > $1";
        on!(&self.read, READ_LIMIT, |conn| sqlx::query_scalar(SQL).bind(at).fetch_one(conn).await)
    }

    /// Purges the oldest entries from before `before`, at most 10,000, and appends an `audit.purged` entry at
    /// `at`, which verification then starts from, in one transaction. Returns `None` if there was nothing to
    /// purge; callers repeat it until then.
    ///
    /// # Errors
    ///
    /// Fails if `before` is less than 30 days before `at`, on Postgres also before the current time.
    pub async fn purge_audit(
        &self,
        before: DateTime<Utc>,
        at: DateTime<Utc>,
        by: &Actor,
    ) -> Result<Option<Purged>, StoreError> {
        const OLD: &str = "select count(*), cast(max(seq) as bigint) from (
                select seq from mlops_audit
                where seq < coalesce((select min(seq) from mlops_audit where at >= $1), 9223372036854775807)
                order by seq limit $2
            ) old";
        const ENTRY: &str = concat!("select ", columns!(), " from mlops_audit where seq = $1");
        if at - before < TimeDelta::days(MIN_DAYS) {
            let what = format!("audit entries must be kept for at least {MIN_DAYS} days");
            return Err(StoreError::Unusable(what));
        }
        on!(&self.admin, PURGE_LIMIT, |conn| {
            let mut tx = dialect::begin(conn).await?;
            dialect::extend_timeout(&mut *tx).await?;
            dialect::lock_audit(&mut *tx).await?;
            let old = sqlx::query_as(OLD).bind(before).bind(MAX_PURGED).fetch_one(&mut *tx).await?;
            let (rows, Some(last_seq)): (i64, Option<i64>) = old else { return Ok(None) };
            let last: Raw = sqlx::query_as(ENTRY).bind(last_seq).fetch_one(&mut *tx).await?;
            let last = stored_entry(last);
            let last_hash = last.hash.clone().try_into().unwrap_or_default();
            let purged = Purged { rows: rows.unsigned_abs(), last_seq, last_hash };
            append(&mut tx, at, &purged.entry(before, &last, by)).await?;
            sqlx::query(dialect::purge_audit(&tx)).bind(before).execute(&mut *tx).await?;
            tx.commit().await?;
            Ok(Some(purged))
        })
    }
}

impl Purged {
    /// Returns the entry that tells of the purge. It has the content of `last`, whose hash proves how old the purged entries are.
    fn entry(&self, before: DateTime<Utc>, last: &StoredEntry, by: &Actor) -> Entry {
        by.entry(Action::AuditPurged)
            .with("before", timestamp(before))
            .with("rows", self.rows)
            .with("last_seq", self.last_seq)
            .with("last_hash", hex::encode(self.last_hash))
            .with("last", serde_json::to_value(LastPurged::of(last)).unwrap_or_default())
    }
}
