//! The lock that allows only one retention run at a time, across processes.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use sqlx::{Connection, Postgres};

use super::super::{Db, Store, StoreError};
use super::STEP_LIMIT;
use crate::store::connection::lease::Taken;
use crate::store::connection::open::create_file;

const LOCK_SESSION: &str =
    "select pg_try_advisory_lock(hashtext('mlops_retention'), hashtext(current_schema()))";

/// Behind a pooler, the lock of a session would outlive the run.
const LOCK_TRANSACTION: &str =
    "select pg_try_advisory_xact_lock(hashtext('mlops_retention'), hashtext(current_schema()))";

/// The right to run. It is released on drop and whenever the process ends.
#[derive(Debug)]
pub struct RetentionLock(LockKind);

#[derive(Debug)]
enum LockKind {
    /// An advisory lock in a session or, behind a pooler, in a transaction.
    Advisory(Taken<Postgres>),
    /// A lock on a file beside the database.
    File(File),
}

impl RetentionLock {
    /// Releases the lock, closing the session cleanly.
    pub async fn release(self) {
        match self.0 {
            // If closing fails, the server ends the session anyway.
            LockKind::Advisory(Taken::Session(session)) => drop(session.close().await),
            LockKind::Advisory(Taken::Transaction(transaction)) => drop(transaction.rollback().await),
            LockKind::File(file) => drop(file),
        }
    }
}

impl Store {
    /// Acquires the right to run. Returns `None` while another process has it.
    pub async fn lock_retention(&self) -> Result<Option<RetentionLock>, StoreError> {
        match (&self.sweep, &self.retention_lock) {
            (Db::Postgres(db), _) => {
                let lock = async {
                    let mut lease = db.lease().await?;
                    let lock = if lease.is_transaction() { LOCK_TRANSACTION } else { LOCK_SESSION };
                    let got: bool = sqlx::query_scalar(lock).fetch_one(lease.connection()).await?;
                    Ok(got.then(|| RetentionLock(LockKind::Advisory(lease.take()))))
                };
                tokio::time::timeout(STEP_LIMIT, lock).await.unwrap_or(Err(StoreError::TimedOut))
            }
            (Db::Sqlite(_), Some(path)) => lock_file(path),
            (Db::Sqlite(_), None) => Err(StoreError::Unusable("the database is not a file".to_owned())),
        }
    }
}

fn lock_file(path: &Path) -> Result<Option<RetentionLock>, StoreError> {
    create_file(path)?;
    let cannot =
        |error: std::io::Error| StoreError::Unusable(format!("cannot lock {}: {error}", path.display()));
    // Windows does not lock a file that is open for appending only.
    let file = OpenOptions::new().write(true).open(path).map_err(cannot)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(RetentionLock(LockKind::File(file)))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(cannot(error)),
    }
}
