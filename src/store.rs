//! The database: events, their rollups and everything else that is stored, in Postgres or in an embedded
//! SQLite file.
//!
//! One SQL text serves both databases through `on!`. The differences are in `dialect.rs`; only the statement
//! that writes a batch exists twice, in `events/`. A new store function needs a case in the conformance
//! suite, which runs on both databases.

/// Runs `$body` with a connection to the open database, within `$limit`. The compiler checks the body against
/// both drivers.
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
            lease.finish(done).await
        };
        tokio::time::timeout($limit, work).await.unwrap_or(Err($crate::store::StoreError::TimedOut))
    }};
}
pub(crate) use on;

/// Implements `FromRow` for a struct whose fields are columns, for the rows of one or both drivers. `sqlx::FromRow`'s
/// derive does the same, but sqlx's procedural macros depend on both drivers, which would be compiled twice.
macro_rules! from_row {
    ($name:ident { $($field:ident),+ $(,)? }) => {
        from_row!(sqlx::postgres::PgRow => $name { $($field),+ });
        from_row!(sqlx::sqlite::SqliteRow => $name { $($field),+ });
    };
    ($row:ty => $name:ident { $($field:ident),+ $(,)? }) => {
        impl sqlx::FromRow<'_, $row> for $name {
            fn from_row(row: &$row) -> Result<Self, sqlx::Error> {
                Ok(Self { $($field: sqlx::Row::try_get(row, stringify!($field))?),+ })
            }
        }
    };
}

mod analytics;
mod audit;
mod bulk_insert;
mod businesses;
mod connection;
mod dialect;
mod digest;
mod error;
mod events;
mod keys;
mod links;
mod migrations;
mod partitions;
mod placeholders;
mod privacy;
mod replica;
mod retention;
mod rollups;
mod sessions;
mod source;

pub use analytics::{
    ConversationFilter, Day, DayRange, Figures, FiguresQuery, FiguresRead, Headline, Hour, Intent, ListRead,
    ListedBusiness, ListedDetails, Model, MonthSpent, OutcomeFilter, RankedBy,
};
pub use audit::Purged;
pub use connection::inspect::Encryption;
pub(crate) use connection::open::create_file;
pub use connection::privileges::Privileges;
pub use digest::{Book, NewOutcome, Posting, Rebuild};
pub use error::StoreError;
pub use events::export::{ExportFilter, ExportedRow};
pub use events::foreign::ForeignCount;
pub use events::import::{Import, ImportOutcome, ImportTerms, Imports};
pub use events::{CLAIM_MINUTES, WriteOutcome, Written};
pub use partitions::{Copied, EventMonths, Outlook, Partitioning, Turnover};
pub use privacy::consents::{ConsentFilter, NumberedConsent};
pub use privacy::requests::{Completion, Extension, OpenRequests, Request};
pub use privacy::{
    Counts, Erased, Erasure, Extract, FoundSubject, ListedRows, MAX_BYTES, MAX_ROWS, Mentions, Mode, Search,
    SubjectError, SubjectTraces, Table,
};
pub use replica::{MAX_LAG, ReplicaState};
pub use retention::{
    Deleted, Retained, RetentionCounts, RetentionLock, RetentionRecord, TablePlan, Window, WindowCounts,
};
pub use rollups::analytics::Summary;
pub use rollups::pending::CountedRollup;
pub use sessions::{Session, SessionKey};
pub use source::SourceTable;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use sqlx::{Postgres, Sqlite};

use crate::business::ProfileCache;
use crate::pricing::Prices;
use analytics::FiguresCache;
use connection::file::WatchedFile;
use connection::lease::Connections;
use connection::write_queue::WriteQueue;
use events::foreign::Chunk;
use events::keeping::Keeping;
use replica::Replica;

/// The time limit of a read.
const READ_LIMIT: Duration = Duration::from_secs(2);

/// The time limit of looking up a key, a session or a link: every request with one waits for it.
const LOOKUP_LIMIT: Duration = Duration::from_secs(1);

/// The time limit of one write step.
const WRITE_LIMIT: Duration = Duration::from_millis(1_800);

/// The number of connections to a server for writing batches.
const WRITERS: u32 = 2;

/// The time limit of a health check.
const PING_LIMIT: Duration = Duration::from_secs(1);

/// How long work on a file that was replaced is waited for.
const REOPEN_LIMIT: Duration = Duration::from_secs(10);

/// Connections to a database.
#[derive(Debug, Clone)]
pub(crate) enum Db {
    /// A Postgres server.
    Postgres(Connections<Postgres>),
    /// An embedded SQLite file.
    Sqlite(Connections<Sqlite>),
}

/// The store, with separate connections for reading, for writing events (which belong to the ingest task),
/// and for administrative changes.
#[derive(Debug, Clone)]
pub struct Store {
    read: Db,
    /// The read replica, if there is one.
    replica: Option<Replica>,
    write: Db,
    admin: Db,
    /// The connection that deletes old rows.
    sweep: Db,
    /// The file; `None` on Postgres.
    file: Option<WatchedFile>,
    /// The path of the lock file of retention runs; `None` on Postgres, which has advisory locks.
    retention_lock: Option<PathBuf>,
    profiles: ProfileCache,
    prices: Arc<Prices>,
    /// Whether the app's appointments can be read, as last looked up.
    shares_book: Arc<AtomicBool>,
    figures: FiguresCache,
    foreign_chunk: Chunk,
    keeping: Keeping,
    place: String,
    /// Whether this role runs migrations.
    migrates: bool,
}

impl Store {
    /// Returns the kind and location of the database for display, without the password.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Returns the copy of the business profiles in memory.
    #[must_use]
    pub const fn profiles(&self) -> &ProfileCache {
        &self.profiles
    }

    /// Returns whether the database is an embedded file rather than a server.
    #[must_use]
    pub const fn is_file(&self) -> bool {
        matches!(self.write, Db::Sqlite(_))
    }

    /// Returns how many batches may be written at the same time. A file has one writer.
    #[must_use]
    pub const fn writers(&self) -> usize {
        match self.write {
            Db::Postgres(_) => WRITERS as usize,
            Db::Sqlite(_) => 1,
        }
    }

    /// Has this process give way to others that write to the same file: for work that nobody waits for.
    pub fn give_way(&self) {
        if let Some(queue) = self.queue() {
            queue.give_way();
        }
    }

    /// Whether it does.
    fn gives_way(&self) -> bool {
        self.queue().is_some_and(WriteQueue::gives_way)
    }

    const fn queue(&self) -> Option<&WriteQueue> {
        match &self.write {
            Db::Sqlite(db) => db.queue(),
            Db::Postgres(_) => None,
        }
    }

    /// Makes one round trip to the database.
    ///
    /// # Errors
    ///
    /// Fails if the database does not respond within a second.
    pub async fn ping(&self) -> Result<(), StoreError> {
        on!(&self.read, PING_LIMIT, |conn| sqlx::query("select 1").execute(conn).await.map(drop))
    }

    /// Closes the connections, waiting at most a second for the database. The writer is closed last: SQLite
    /// checkpoints its log into the file when its last connection closes.
    pub async fn close(&self) {
        let close = async {
            let replica = self.replica.iter().map(|replica| &replica.db);
            for db in replica.chain(self.databases()) {
                match db {
                    Db::Postgres(connections) => connections.close().await,
                    Db::Sqlite(connections) => connections.close().await,
                }
            }
        };
        drop(tokio::time::timeout(PING_LIMIT, close).await);
    }

    /// Opens the file again if another one is in its place. Returns whether that was so, and migrations may be missing.
    ///
    /// # Errors
    ///
    /// Fails while work on the old file goes on: its log must not be taken for that of the new one.
    pub async fn reopen_replaced_file(&self) -> Result<bool, StoreError> {
        let Some(file) = self.file.as_ref().filter(|file| file.is_replaced()) else { return Ok(false) };
        let close = async {
            for db in self.databases() {
                if let Db::Sqlite(connections) = db {
                    connections.close().await;
                }
            }
        };
        tokio::time::timeout(REOPEN_LIMIT, close).await.map_err(|_| StoreError::TimedOut)?;
        let moved = file.forget();
        moved.map_err(|error| {
            StoreError::Unavailable(format!("cannot move the log of a replaced file: {error}"))
        })?;
        for db in self.databases() {
            if let Db::Sqlite(connections) = db {
                connections.reopen();
            }
        }
        Ok(true)
    }

    const fn databases(&self) -> [&Db; 4] {
        [&self.read, &self.admin, &self.sweep, &self.write]
    }
}
