//! What is kept: events and their rollups, in Postgres or in an embedded SQLite file.
//!
//! One SQL text serves both databases through `on!`; what differs stands in `dialect.rs`, and the writing of a
//! batch, the one statement worth writing twice, in `batch/`. To add a subject, add a file beside `analytics.rs`
//! and a case to the conformance suite, which runs on both.

/// Runs `$body` with a connection of whichever database is open, within `$limit`. The compiler checks the body
/// against both drivers.
macro_rules! on {
    ($db:expr, $limit:expr, |$conn:ident| $body:expr) => {
        match $db {
            $crate::store::Db::Postgres(db) => $crate::store::on!(@run db, $limit, $conn, $body),
            $crate::store::Db::Sqlite(db) => $crate::store::on!(@run db, $limit, $conn, $body),
        }
    };
    (@run $db:ident, $limit:expr, $conn:ident, $body:expr) => {{
        let work = async {
            let mut lease = $db.lease().await?;
            let $conn = lease.connection();
            let done: Result<_, sqlx::Error> = async { $body }.await;
            lease.finish(done)
        };
        tokio::time::timeout($limit, work).await.unwrap_or(Err($crate::store::StoreError::TimedOut))
    }};
}
pub(crate) use on;

mod audit;
mod bulk_insert;
mod connection;
mod dialect;
mod error;
mod events;
mod keys;
mod privacy;
mod retention;
mod rollups;

pub use audit::Purged;
pub use connection::inspect::{Encryption, Privileges};
pub(crate) use connection::open::create_file;
pub use error::StoreError;
pub use events::{CLAIM_MINUTES, Outcome, Written};
pub use privacy::consents::{ConsentFilter, NumberedConsent};
pub use privacy::requests::{Completion, OpenRequests, Request};
pub use privacy::{
    Counts, Erased, Erasure, Extract, Extracts, FoundSubject, MAX_BYTES, MAX_ROWS, Mode, SubjectError,
    SubjectTraces, Table,
};
pub use retention::{
    Deleted, Retained, RetentionCounts, RetentionLock, RetentionRecord, Seen, TablePlan, Window,
};
pub use rollups::analytics::Summary;
pub use rollups::pending::CountedRollup;

use std::path::PathBuf;
use std::time::Duration;

use chrono_tz::Tz;
use sqlx::{Postgres, Sqlite};

use crate::privacy::subject::Hasher;
use connection::lease::Connections;

/// How long a reader waits for the database.
const READ_LIMIT: Duration = Duration::from_secs(2);

/// How long one step of writing may take.
const WRITE_LIMIT: Duration = Duration::from_millis(1_800);

/// Connections to a server that batches are written through.
const WRITERS: u32 = 2;

/// How long a health check waits for the database.
const PING_LIMIT: Duration = Duration::from_secs(1);

/// Connections to a database.
#[derive(Debug, Clone)]
pub(crate) enum Db {
    /// A Postgres server.
    Postgres(Connections<Postgres>),
    /// An embedded SQLite file.
    Sqlite(Connections<Sqlite>),
}

/// The store: connections for reading, those that write events, which belong to the ingest task, and those through
/// which people change what is kept beside events.
#[derive(Debug, Clone)]
pub struct Store {
    read: Db,
    write: Db,
    admin: Db,
    /// The connection through which old rows are deleted.
    sweep: Db,
    /// Where the right to delete them is a lock on a file: its path.
    retention_lock: Option<PathBuf>,
    zone: Tz,
    /// Where consent is required: what tells whose it is.
    consent: Option<Hasher>,
    place: String,
    /// Whether it may change tables.
    migrates: bool,
}

impl Store {
    /// The kind and place of the database, for people; no password is in it.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Whether it is an embedded file, rather than a server.
    #[must_use]
    pub const fn is_file(&self) -> bool {
        matches!(self.write, Db::Sqlite(_))
    }

    /// How many batches may be written at the same time. A file has one writer.
    #[must_use]
    pub const fn writers(&self) -> usize {
        match self.write {
            Db::Postgres(_) => WRITERS as usize,
            Db::Sqlite(_) => 1,
        }
    }

    /// One round trip to the database, within a second.
    pub async fn ping(&self) -> Result<(), StoreError> {
        on!(&self.read, PING_LIMIT, |conn| sqlx::query("select 1").execute(conn).await.map(drop))
    }

    /// Closes the connections, waiting at most a second for the database. The writer is the last: where it is the only
    /// one left, SQLite folds its log into the file.
    pub async fn close(&self) {
        let close = async {
            for db in [&self.read, &self.admin, &self.sweep, &self.write] {
                match db {
                    Db::Postgres(connections) => connections.close().await,
                    Db::Sqlite(connections) => connections.close().await,
                }
            }
        };
        drop(tokio::time::timeout(PING_LIMIT, close).await);
    }
}
