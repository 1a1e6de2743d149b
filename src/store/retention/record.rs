//! What is remembered of runs.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::super::audit::append;
use super::super::{READ_LIMIT, Store, StoreError, dialect};
use super::STEP_LIMIT;
use crate::audit::Entry;

/// Rows that were deleted, for each table.
pub type RetentionCounts = BTreeMap<String, i64>;

/// When runs were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct RetentionRecord {
    /// Since when runs are waited for.
    pub waiting_since: DateTime<Utc>,
    /// When the run began that is under way, or was cut off.
    pub begun_at: Option<DateTime<Utc>>,
    /// When the last run began that came to its end.
    pub done_at: Option<DateTime<Utc>>,
}

const RECORD: &str = "select waiting_since, begun_at, done_at from mlops_retention where id = 1";

impl Store {
    /// What is remembered; `None` before the first time that runs were waited for.
    pub async fn retention_record(&self) -> Result<Option<RetentionRecord>, StoreError> {
        on!(&self.read, READ_LIMIT, |conn| sqlx::query_as(RECORD).fetch_optional(conn).await)
    }

    /// What is remembered, after it was noted that runs are waited for as of `now`, unless that was noted before.
    pub async fn await_retention(&self, now: DateTime<Utc>) -> Result<RetentionRecord, StoreError> {
        const NOTE: &str =
            "insert into mlops_retention (id, waiting_since) values (1, $1) on conflict (id) do nothing";
        on!(&self.sweep, STEP_LIMIT, |conn| {
            sqlx::query(NOTE).bind(now).execute(&mut *conn).await?;
            sqlx::query_as(RECORD).fetch_one(conn).await
        })
    }

    /// Notes that a run begins at `now`, in whose hands the lock is. Gives what one that was cut off had deleted.
    pub async fn begin_retention(&self, now: DateTime<Utc>) -> Result<Option<RetentionCounts>, StoreError> {
        const LEFT: &str = "select table_name, deleted from mlops_retention_deleted
            where exists (select 1 from mlops_retention where begun_at is not null)";
        const BEGIN: &str = "update mlops_retention set begun_at = $1";
        let left: Vec<(String, i64)> = on!(&self.sweep, STEP_LIMIT, |conn| {
            let mut tx = dialect::begin(conn).await?;
            let left = sqlx::query_as(LEFT).fetch_all(&mut *tx).await?;
            sqlx::query(BEGIN).bind(now).execute(&mut *tx).await?;
            tx.commit().await?;
            Ok(left)
        })?;
        Ok(Some(left.into_iter().collect()).filter(|left: &RetentionCounts| !left.is_empty()))
    }

    /// Notes what a run that began at `begun` deleted, with its entry in the audit trail, which says how it ended; `done`
    /// when it came to its end. It is on disk afterwards, and all that was deleted before.
    pub async fn note_retention(
        &self,
        at: DateTime<Utc>,
        done: Option<DateTime<Utc>>,
        entry: &Entry,
    ) -> Result<(), StoreError> {
        const NOTE: &str = "update mlops_retention set begun_at = null, done_at = coalesce($1, done_at)";
        // Not through the connection that deletes, which does not wait for the disk.
        on!(&self.admin, STEP_LIMIT, |conn| {
            let mut tx = dialect::begin(conn).await?;
            sqlx::query("delete from mlops_retention_deleted").execute(&mut *tx).await?;
            sqlx::query(NOTE).bind(done).execute(&mut *tx).await?;
            append(&mut tx, at, entry).await?;
            tx.commit().await
        })
    }
}
