//! Opens the spool's file, and salvages events from a damaged one.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use futures_util::TryStreamExt;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Executor, Row, SqliteConnection};
use uuid::Uuid;

use super::rows::{delete_all, insert_all};
use super::salvage::Salvaged;
use super::state::State;
use super::{Delivery, PAGE_BYTES, Spool, frame};
use crate::store::StoreError;
use crate::store::create_file;

/// How long to wait for another process to release the file, which it locks until it ends.
const BUSY_LIMIT: Duration = Duration::from_millis(100);

const FILE: &str = "spool.db";

/// The prefix of the names of damaged files.
const DAMAGED: &str = "spool.db.damaged-";

/// `id` is the hashed key of the event, `standing` its [`Delivery`].
const SCHEMA: &str = "create table if not exists events (
    seq integer primary key,
    id blob not null unique,
    received_at integer not null,
    standing integer not null,
    frame blob not null
)";

impl Spool {
    /// Opens the file, and salvages intact events from damaged files into it.
    pub(super) async fn open_file(&self) -> Result<SqliteConnection, StoreError> {
        let path = self.directory.join(FILE);
        create_file(&path)?;
        let mut open = match self.connect(&path).await {
            Err(error) if is_damage(&error) => {
                self.quarantine()?;
                create_file(&path)?;
                self.connect(&path).await?
            }
            connected => connected?,
        };
        for damaged in self.damaged()? {
            salvage(&mut open, damaged).await?;
        }
        let corrupt = self.load(&mut open).await?;
        if !corrupt.is_empty() {
            log_lost(&corrupt);
            delete_all(&mut open, corrupt.into_iter()).await?;
        }
        Ok(open)
    }

    async fn connect(&self, path: &Path) -> Result<SqliteConnection, sqlx::Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .page_size(PAGE_BYTES)
            .journal_mode(SqliteJournalMode::Truncate)
            .synchronous(SqliteSynchronous::Full)
            .locking_mode(SqliteLockingMode::Exclusive)
            .busy_timeout(BUSY_LIMIT)
            .pragma("secure_delete", "on")
            .pragma("max_page_count", self.max_pages.to_string())
            .disable_statement_logging();
        let mut open = options.connect().await?;
        let found: String = sqlx::query_scalar("pragma quick_check(1)").fetch_one(&mut open).await?;
        if found != "ok" {
            return Err(sqlx::Error::Decode(found.into()));
        }
        open.execute(SCHEMA).await?;
        Ok(open)
    }

    /// Loads the state of the events in the file. Returns the sequence numbers of corrupt frames. Events that
    /// the store refused are to be retried.
    async fn load(&self, open: &mut SqliteConnection) -> Result<Vec<i64>, sqlx::Error> {
        sqlx::query("update events set standing = $1 where standing = $2")
            .bind(Delivery::Unconfirmed as i64)
            .bind(Delivery::Refused as i64)
            .execute(&mut *open)
            .await?;
        let (mut state, mut corrupt, mut unhashed) = (State::default(), Vec::new(), Vec::new());
        let mut rows = sqlx::query("select seq, id, frame from events order by seq").fetch(&mut *open);
        while let Some(row) = rows.try_next().await? {
            let (seq, id, bytes): (i64, Uuid, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            match frame::read(&bytes) {
                Some((_, event)) => {
                    state.add(seq, &event);
                    // Earlier versions stored the id alone.
                    unhashed.extend((event.id == id).then(|| (seq, event.key().hashed())));
                }
                None => corrupt.push(seq),
            }
        }
        drop(rows);
        for (seq, id) in unhashed {
            let update = sqlx::query("update events set id = $1 where seq = $2").bind(id).bind(seq);
            update.execute(&mut *open).await?;
        }
        self.state().replace(state);
        Ok(corrupt)
    }

    /// Renames the damaged file, so that a new one can be created.
    pub(super) fn quarantine(&self) -> Result<(), StoreError> {
        tracing::error!("the spool is damaged; salvaging readable events into a new one");
        let path = self.directory.join(FILE);
        let journal = self.directory.join(format!("{FILE}-journal"));
        let damaged = self.directory.join(format!("{DAMAGED}{}", Uuid::new_v4()));
        let renamed = fs::rename(path, damaged);
        renamed
            .and_then(|()| if journal.exists() { fs::remove_file(journal) } else { Ok(()) })
            .map_err(|error| unusable(&error))
    }

    /// Returns the damaged files that have not been salvaged yet.
    fn damaged(&self) -> Result<Vec<PathBuf>, StoreError> {
        let entries = fs::read_dir(&self.directory).map_err(|error| unusable(&error))?;
        let damaged = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let is_damaged =
            |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(DAMAGED));
        Ok(damaged.filter(is_damaged).collect())
    }
}

/// Salvages the intact events of a damaged file, and removes the file.
async fn salvage(open: &mut SqliteConnection, damaged: PathBuf) -> Result<(), StoreError> {
    let salvaged = Salvaged::read(&damaged).map_err(|error| unusable(&error))?;
    let taken: i64 =
        sqlx::query_scalar("select coalesce(max(seq), 0) from events").fetch_one(&mut *open).await?;
    let numbered = salvaged.events.iter().map(|(seq, event)| (taken + seq, event));
    insert_all(open, numbered, Delivery::Unconfirmed).await?;
    let (saved, broken, missing) = (salvaged.events.len(), salvaged.broken, salvaged.missing());
    tracing::error!(
        saved,
        broken,
        ?missing,
        "salvaged {saved} events from the damaged spool; {broken} are incomplete, and numbers {missing:?} are missing"
    );
    fs::remove_file(damaged).map_err(|error| unusable(&error))
}

/// Returns whether an error means that the file is corrupt or not a database.
pub(super) fn is_damage(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    let primary = code.and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff);
    matches!(primary, Some(11 | 26))
        || matches!(error, sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. })
}

/// Logs which events are lost.
pub(super) fn log_lost(corrupt: &[i64]) {
    tracing::error!(
        broken = ?corrupt,
        "the spool is damaged: events {corrupt:?} cannot be read and are lost"
    );
}

fn unusable(error: &io::Error) -> StoreError {
    StoreError::Unavailable(format!("cannot use the spool: {error}"))
}
