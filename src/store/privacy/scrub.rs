//! Removes remnants of deleted data from the SQLite file. Connections overwrite what they delete, but
//! rearranged pages and the log beside the file may have copies.

use std::time::{Duration, Instant};

use sqlx::{Row, SqliteConnection};
use tokio::time::sleep;

use crate::store::{Db, Store, StoreError};

/// The largest file that is rewritten, in bytes; a larger one would block events for too long.
const MAX_REWRITTEN: i64 = 32 * 1024 * 1024;

/// The time limit of one step.
const LIMIT: Duration = Duration::from_secs(4);

/// How long emptying the log is retried, which readers prevent.
const RETRY_FOR: Duration = Duration::from_secs(2);

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

impl Store {
    /// Removes remnants of deleted data if the database is a file. Returns whether none are left.
    pub async fn scrub(&self) -> Result<bool, StoreError> {
        let Db::Sqlite(db) = &self.admin else { return Ok(true) };
        let is_rewritten = on!(@run db, LIMIT, conn, rewrite(conn).await)?;
        let begun = Instant::now();
        // Each attempt takes the lock anew, so that events are written in between.
        while !on!(@run db, LIMIT, conn, empty_log(conn).await)? {
            if begun.elapsed() > RETRY_FOR {
                return Ok(false);
            }
            sleep(PAUSE).await;
        }
        Ok(is_rewritten)
    }
}

/// Rewrites the file unless it is too large. Returns whether it did.
async fn rewrite(conn: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    const SIZE: &str = "select page_count * page_size from pragma_page_count, pragma_page_size";
    let bytes: i64 = sqlx::query_scalar(SIZE).fetch_one(&mut *conn).await?;
    let is_small = bytes <= MAX_REWRITTEN;
    if is_small {
        sqlx::query("vacuum").execute(conn).await?;
    }
    Ok(is_small)
}

/// Empties the log. Returns `false` if a reader prevented it.
async fn empty_log(conn: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let busy = sqlx::query("pragma wal_checkpoint(truncate)").fetch_one(conn).await?;
    Ok(busy.try_get::<i64, _>(0)? == 0)
}
