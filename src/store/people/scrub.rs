//! Takes what was deleted out of the file of SQLite. Its connections overwrite what they delete, but a page that was
//! rearranged may keep a copy, and so may the log beside the file.

use std::time::Duration;

use sqlx::Row;
use tokio::time::sleep;

use crate::store::{Db, Store, StoreError};

/// The largest file that is written anew, in bytes; a larger one would keep events waiting for too long.
const MAX_REWRITTEN: i64 = 32 * 1024 * 1024;

/// How long that may take.
const LIMIT: Duration = Duration::from_secs(4);

/// How often it is tried to empty the log, which waits for readers.
const ATTEMPTS: u32 = 10;

impl Store {
    /// Takes what was deleted out of the file, where the database is one; says whether nothing of it is left.
    pub async fn scrub(&self) -> Result<bool, StoreError> {
        let Db::Sqlite(db) = &self.admin else { return Ok(true) };
        super::super::on!(@run db, LIMIT, conn, {
            const SIZE: &str = "select page_count * page_size from pragma_page_count, pragma_page_size";
            let bytes: i64 = sqlx::query_scalar(SIZE).fetch_one(&mut *conn).await?;
            if bytes <= MAX_REWRITTEN {
                sqlx::query("vacuum").execute(&mut *conn).await?;
            }
            for _ in 0..ATTEMPTS {
                let busy = sqlx::query("pragma wal_checkpoint(truncate)").fetch_one(&mut *conn).await?;
                if busy.try_get::<i64, _>(0)? == 0 {
                    return Ok(bytes <= MAX_REWRITTEN);
                }
                sleep(Duration::from_millis(50)).await;
            }
            Ok(false)
        })
    }
}
