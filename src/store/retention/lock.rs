//! One run at a time, whichever process it is in.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use sqlx::{Connection, PgConnection};

use super::super::{Db, Store, StoreError};
use super::STEP_LIMIT;
use crate::store::connection::open::create_file;

/// The right to run. It ends when it is dropped, and when the process dies, however that happens.
#[derive(Debug)]
pub struct RetentionLock(Held);

#[derive(Debug)]
enum Held {
    /// An advisory lock of a session of its own.
    Session(Box<PgConnection>),
    /// A lock on a file beside the database.
    File(File),
}

impl RetentionLock {
    /// Gives it back in order.
    pub async fn release(self) {
        match self.0 {
            // A session that does not end in order ends all the same.
            Held::Session(session) => drop(session.close().await),
            Held::File(file) => drop(file),
        }
    }
}

impl Store {
    /// The right to run; `None` while somebody has it.
    pub async fn lock_retention(&self) -> Result<Option<RetentionLock>, StoreError> {
        match (&self.sweep, &self.retention_lock) {
            (Db::Postgres(db), _) => {
                let lock = async {
                    let mut lease = db.lease().await?;
                    let got: bool = sqlx::query_scalar(
                        "select pg_try_advisory_lock(hashtext('mlops_retention'), hashtext(current_schema()))",
                    )
                    .fetch_one(lease.connection())
                    .await?;
                    Ok(got.then(|| RetentionLock(Held::Session(Box::new(lease.take())))))
                };
                tokio::time::timeout(STEP_LIMIT, lock).await.unwrap_or(Err(StoreError::TimedOut))
            }
            (Db::Sqlite(_), Some(path)) => lock_file(path),
            (Db::Sqlite(_), None) => Err(StoreError::Unusable("the database is no file".to_owned())),
        }
    }
}

fn lock_file(path: &Path) -> Result<Option<RetentionLock>, StoreError> {
    create_file(path)?;
    let cannot = |error: std::io::Error| {
        StoreError::Unusable(format!("the file {} cannot be locked: {error}", path.display()))
    };
    let file = OpenOptions::new().append(true).open(path).map_err(cannot)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(RetentionLock(Held::File(file)))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(cannot(error)),
    }
}
