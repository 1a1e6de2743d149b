//! Takes what was deleted out of the file of SQLite. Its connections overwrite what they delete, but a page that was
//! rearranged may keep a copy, and so may the log beside the file.

use std::time::{Duration, Instant};

use sqlx::{Row, SqliteConnection};
use tokio::time::sleep;

use crate::store::{Db, Store, StoreError};

/// The largest file that is written anew, in bytes; a larger one would keep events waiting for too long.
const MAX_REWRITTEN: i64 = 32 * 1024 * 1024;

/// How long one step may take.
const LIMIT: Duration = Duration::from_secs(4);

/// For how long it is tried to empty the log, which waits for readers.
const PATIENCE: Duration = Duration::from_secs(2);

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

impl Store {
    /// Takes what was deleted out of the file, where the database is one; says whether nothing of it is left.
    pub async fn scrub(&self) -> Result<bool, StoreError> {
        let Db::Sqlite(db) = &self.admin else { return Ok(true) };
        let is_rewritten = on!(@run db, LIMIT, conn, rewrite(conn).await)?;
        let begun = Instant::now();
        // Each attempt is a turn of its own, and events are written in between.
        while !on!(@run db, LIMIT, conn, empty_log(conn).await)? {
            if begun.elapsed() > PATIENCE {
                return Ok(false);
            }
            sleep(PAUSE).await;
        }
        Ok(is_rewritten)
    }
}

/// Writes the file anew, unless it is too large; says whether it did.
async fn rewrite(conn: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    const SIZE: &str = "select page_count * page_size from pragma_page_count, pragma_page_size";
    let bytes: i64 = sqlx::query_scalar(SIZE).fetch_one(&mut *conn).await?;
    let is_small = bytes <= MAX_REWRITTEN;
    if is_small {
        sqlx::query("vacuum").execute(conn).await?;
    }
    Ok(is_small)
}

/// Empties the log; says whether no reader was in the way.
async fn empty_log(conn: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let busy = sqlx::query("pragma wal_checkpoint(truncate)").fetch_one(conn).await?;
    Ok(busy.try_get::<i64, _>(0)? == 0)
}
