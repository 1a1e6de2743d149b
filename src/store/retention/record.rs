//! The record of retention runs.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::super::audit::append;
use super::super::{READ_LIMIT, Store, StoreError, dialect};
use super::STEP_LIMIT;
use crate::audit::Entry;

/// Deleted rows by table.
pub type RetentionCounts = BTreeMap<String, i64>;

/// The times of retention runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionRecord {
    /// When the service first started on this database; runs are due from then on.
    pub waiting_since: DateTime<Utc>,
    /// When the run in progress, or one that was interrupted, began.
    pub begun_at: Option<DateTime<Utc>>,
    /// When the last completed run began.
    pub done_at: Option<DateTime<Utc>>,
}

from_row!(RetentionRecord { waiting_since, begun_at, done_at });

const RECORD: &str = "select waiting_since, begun_at, done_at from mlops_retention where id = 1";

impl Store {
    /// Returns the record; `None` if the service has never started on this database.
    pub async fn retention_record(&self) -> Result<Option<RetentionRecord>, StoreError> {
        on!(&self.read, READ_LIMIT, |conn| sqlx::query_as(RECORD).fetch_optional(conn).await)
    }

    /// Returns the record, which is created as of `now` if there is none.
    pub async fn ensure_retention_record(&self, now: DateTime<Utc>) -> Result<RetentionRecord, StoreError> {
        const CREATE: &str =
            "insert into mlops_retention (id, waiting_since) values (1, $1) on conflict (id) do nothing";
        on!(&self.sweep, STEP_LIMIT, |conn| {
            sqlx::query(CREATE).bind(now).execute(&mut *conn).await?;
            sqlx::query_as(RECORD).fetch_one(conn).await
        })
    }

    /// Records that a run begins at `now`; the caller must have the lock. Returns what a run that was
    /// interrupted had deleted, if anything.
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

    /// Records the end of a run, with its entry in the audit trail. `done` is when the run began, if it
    /// completed. When this returns, the record and all deletions before it are on disk.
    pub async fn finish_retention(
        &self,
        at: DateTime<Utc>,
        done: Option<DateTime<Utc>>,
        entry: &Entry,
    ) -> Result<(), StoreError> {
        const FINISH: &str = "update mlops_retention set begun_at = null, done_at = coalesce($1, done_at)";
        // The connection that deletes does not wait for the disk, so this uses another.
        on!(&self.admin, STEP_LIMIT, |conn| {
            let mut tx = dialect::begin(conn).await?;
            sqlx::query("delete from mlops_retention_deleted").execute(&mut *tx).await?;
            sqlx::query(FINISH).bind(done).execute(&mut *tx).await?;
            append(&mut tx, at, entry).await?;
            tx.commit().await
        })
    }
}
