//! Events that wait on local disk while Postgres cannot take them: a small SQLite file, of which every commit is on disk
//! before anybody hears of it.
//!
//! A file that turns out damaged is moved aside, and what is whole in it goes into a new one: each event lies in a frame
//! of its own that can be found and checked without the database around it. So damage costs what it hit.
//!
//! One process at a time has the file: replicas on one machine need folders of their own.

mod frame;
mod salvage;
mod state;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fs, io};

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Executor, Row, SqliteConnection};
use uuid::Uuid;

use super::StoreError;
use super::connect::create_file;
use crate::event::Event;
use salvage::Salvaged;
use state::State;

/// The size of a page, which holds the largest frame.
const PAGE_BYTES: u32 = 8_192;

/// How long to wait for another process to let go of the file, which it has until it ends.
const BUSY_LIMIT: Duration = Duration::from_millis(100);

const FILE: &str = "spool.db";

/// What the name of a damaged file begins with.
const DAMAGED: &str = "spool.db.damaged-";

const SCHEMA: &str = "create table if not exists events (
    seq integer primary key,
    id blob not null unique,
    received_at integer not null,
    standing integer not null,
    frame blob not null
)";

/// What is known of an event in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It may be in the store: its writing came to no known end.
    Unsure,
    /// It was never sent to the store.
    Unsent,
    /// The store refuses it, for now.
    Refused,
}

/// An event in the spool, and its number.
#[derive(Debug, Clone, PartialEq)]
pub struct Spooled {
    /// Numbers go in the order of arrival.
    pub seq: i64,
    /// The event.
    pub event: Event,
}

/// The spool.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    max_pages: u32,
    /// `None` until it is opened, and while it cannot be.
    file: tokio::sync::Mutex<Option<SqliteConnection>>,
    state: Mutex<State>,
    /// Whether what it was last asked for went well.
    works: AtomicBool,
}

/// Runs `$work` with the open file, a second time where the first one met damage.
macro_rules! on_file {
    ($spool:expr, |$conn:ident| $work:expr) => {{
        let mut file = $spool.file.lock().await;
        let mut met_damage = false;
        loop {
            let mut open = match file.take() {
                Some(open) => open,
                None => $spool.open_file().await?,
            };
            let $conn = &mut open;
            let done: Result<_, sqlx::Error> = async { $work }.await;
            match done {
                Err(error) if is_damage(&error) && !met_damage => {
                    met_damage = true;
                    drop(open);
                    $spool.move_aside()?;
                }
                done => {
                    *file = Some(open);
                    break done.map_err(StoreError::from);
                }
            }
        }
    }};
}

impl Spool {
    /// A spool in `folder` of at most `max_mb` MiB. Nothing is opened yet.
    #[must_use]
    pub fn new(folder: &Path, max_mb: u32) -> Self {
        Self {
            folder: folder.to_owned(),
            max_pages: max_mb.saturating_mul(1024 * 1024 / PAGE_BYTES),
            file: tokio::sync::Mutex::default(),
            state: Mutex::default(),
            works: AtomicBool::new(false),
        }
    }

    /// Opens the file, so that what it holds is known.
    pub async fn open(&self) -> Result<(), StoreError> {
        self.noted(async { on_file!(self, |conn| conn.execute("select 1").await.map(drop)) }).await
    }

    /// Does what the file is asked for, and notes whether it went well.
    async fn noted<T>(&self, asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let done = asked.await;
        self.works.store(done.is_ok(), Ordering::Relaxed);
        done
    }

    /// Whether it takes events, as far as is known.
    #[must_use]
    pub fn works(&self) -> bool {
        self.works.load(Ordering::Relaxed)
    }

    /// Whether there are events in it that the store may take.
    #[must_use]
    pub fn has_pending(&self) -> bool {
        self.works() && self.state().has_pending()
    }

    /// What is known of the events in it.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps events; says of each whether it is new, rather than that its id was there.
    pub async fn add(&self, events: &[&Event], standing: Standing) -> Result<Vec<bool>, StoreError> {
        self.noted(self.insert_all(events, standing)).await
    }

    async fn insert_all(&self, events: &[&Event], standing: Standing) -> Result<Vec<bool>, StoreError> {
        let (first, added) = on_file!(self, |conn| {
            let first = self.state().next_seq();
            let numbered = (first..).zip(events.iter().copied());
            Ok((first, insert_all(conn, numbered, standing).await?))
        })?;
        let mut state = self.state();
        for ((seq, event), _) in (first..).zip(events).zip(&added).filter(|(_, added)| **added) {
            state.add(seq, event);
        }
        Ok(added)
    }

    /// Which of `ids` are in it.
    pub async fn known(&self, ids: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
        on_file!(self, |conn| {
            let mut known = Vec::new();
            for id in ids {
                let sql = "select exists (select 1 from events where id = $1)";
                if sqlx::query_scalar(sql).bind(id).fetch_one(&mut *conn).await? {
                    known.push(*id);
                }
            }
            Ok(known)
        })
    }

    /// Some events up to this standing, after the number `after`, in order.
    pub async fn next(&self, standing: Standing, after: i64, most: u32) -> Result<Vec<Spooled>, StoreError> {
        self.noted(self.whole(standing, after, most)).await
    }

    async fn whole(&self, standing: Standing, after: i64, most: u32) -> Result<Vec<Spooled>, StoreError> {
        const SQL: &str =
            "select seq, frame from events where standing <= $1 and seq > $2 order by seq limit $3";
        loop {
            let rows = on_file!(self, |conn| {
                let rows = sqlx::query(SQL).bind(standing as i64).bind(after).bind(most);
                rows.try_map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).fetch_all(conn).await
            })?;
            let (whole, broken) = sorted(rows);
            if broken.is_empty() {
                return Ok(whole);
            }
            tell_lost(&broken);
            on_file!(self, |conn| delete_all(conn, broken.iter().copied()).await)?;
        }
    }

    /// Removes events that the store has.
    pub async fn remove(&self, stored: &[Spooled]) -> Result<(), StoreError> {
        if stored.is_empty() {
            return Ok(());
        }
        self.noted(async {
            on_file!(self, |conn| delete_all(conn, stored.iter().map(|spooled| spooled.seq)).await)
        })
        .await?;
        let oldest = self.oldest().await?;
        self.state().remove(stored, oldest);
        if self.state().depth() == 0 {
            // So that nothing of an event is left in a page that is not in use.
            on_file!(self, |conn| conn.execute("vacuum").await.map(drop))?;
        }
        Ok(())
    }

    /// Notes that the store refuses an event.
    pub async fn set_aside(&self, refused: &Spooled) -> Result<(), StoreError> {
        on_file!(self, |conn| {
            let update = sqlx::query("update events set standing = $1 where seq = $2");
            update.bind(Standing::Refused as i64).bind(refused.seq).execute(conn).await.map(drop)
        })?;
        self.state().set_aside();
        Ok(())
    }

    /// Closes the file.
    pub async fn close(&self) {
        if let Some(open) = self.file.lock().await.take() {
            drop(open.close().await);
        }
    }

    async fn oldest(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        let micros: Option<i64> = on_file!(self, |conn| {
            let oldest = sqlx::query_scalar("select received_at from events order by seq limit 1");
            oldest.fetch_optional(conn).await
        })?;
        Ok(micros.and_then(DateTime::from_timestamp_micros))
    }
}

/// Rows by whether their frames are whole.
fn sorted(rows: Vec<(i64, Vec<u8>)>) -> (Vec<Spooled>, Vec<i64>) {
    let (mut whole, mut broken) = (Vec::new(), Vec::new());
    for (seq, bytes) in rows {
        match frame::read(&bytes) {
            Some((_, event)) => whole.push(Spooled { seq, event }),
            None => broken.push(seq),
        }
    }
    (whole, broken)
}

/// Whether the file is not what SQLite wrote: corrupt, or no database.
fn is_damage(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    let primary = code.and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff);
    matches!(primary, Some(11 | 26))
        || matches!(error, sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. })
}

/// Opening, and what to do when that meets damage.
impl Spool {
    async fn open_file(&self) -> Result<SqliteConnection, StoreError> {
        let path = self.folder.join(FILE);
        create_file(&path)?;
        let mut open = match self.connect(&path).await {
            Err(error) if is_damage(&error) => {
                self.move_aside()?;
                create_file(&path)?;
                self.connect(&path).await?
            }
            connected => connected?,
        };
        for damaged in self.damaged()? {
            salvage(&mut open, damaged).await?;
        }
        let broken = self.read(&mut open).await?;
        if !broken.is_empty() {
            tell_lost(&broken);
            delete_all(&mut open, broken.into_iter()).await?;
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

    /// Reads what the file holds; gives the numbers of rows whose frames are broken. What the store refused is to be tried
    /// once more.
    async fn read(&self, open: &mut SqliteConnection) -> Result<Vec<i64>, sqlx::Error> {
        sqlx::query("update events set standing = $1 where standing = $2")
            .bind(Standing::Unsure as i64)
            .bind(Standing::Refused as i64)
            .execute(&mut *open)
            .await?;
        let (mut state, mut broken) = (State::default(), Vec::new());
        let mut rows = sqlx::query("select seq, frame from events order by seq").fetch(open);
        while let Some(row) = rows.try_next().await? {
            let (seq, bytes): (i64, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
            match frame::read(&bytes) {
                Some((_, event)) => state.add(seq, &event),
                None => broken.push(seq),
            }
        }
        self.state().replace(state);
        Ok(broken)
    }

    fn move_aside(&self) -> Result<(), StoreError> {
        tracing::error!("the spool is damaged; what is whole in it is saved into a new one");
        let path = self.folder.join(FILE);
        let journal = self.folder.join(format!("{FILE}-journal"));
        let aside = self.folder.join(format!("{DAMAGED}{}", Uuid::new_v4()));
        let moved = fs::rename(path, aside);
        moved
            .and_then(|()| if journal.exists() { fs::remove_file(journal) } else { Ok(()) })
            .map_err(|error| unusable(&error))
    }

    /// Files that were moved aside, and not yet dealt with.
    fn damaged(&self) -> Result<Vec<PathBuf>, StoreError> {
        let entries = fs::read_dir(&self.folder).map_err(|error| unusable(&error))?;
        let damaged = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let is_damaged =
            |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(DAMAGED));
        Ok(damaged.filter(is_damaged).collect())
    }
}

/// Saves what is whole in a damaged file, and removes it.
async fn salvage(open: &mut SqliteConnection, damaged: PathBuf) -> Result<(), StoreError> {
    let salvaged = Salvaged::read(&damaged).map_err(|error| unusable(&error))?;
    let taken: i64 =
        sqlx::query_scalar("select coalesce(max(seq), 0) from events").fetch_one(&mut *open).await?;
    let numbered = salvaged.events.iter().map(|(seq, event)| (taken + seq, event));
    insert_all(open, numbered, Standing::Unsure).await?;
    let (saved, broken, missing) = (salvaged.events.len(), salvaged.broken, salvaged.missing());
    tracing::error!(
        saved,
        broken,
        ?missing,
        "{saved} events of the damaged spool are saved; of {broken} only parts are left; numbers {missing:?} are not in it"
    );
    fs::remove_file(damaged).map_err(|error| unusable(&error))
}

/// Adds rows, those apart whose events are there; says of each whether it is new.
async fn insert_all<'e>(
    conn: &mut SqliteConnection,
    numbered: impl Iterator<Item = (i64, &'e Event)>,
    standing: Standing,
) -> Result<Vec<bool>, sqlx::Error> {
    conn.execute("begin immediate").await?;
    let added = insert_each(conn, numbered, standing).await;
    end(conn, added).await
}

async fn insert_each<'e>(
    conn: &mut SqliteConnection,
    numbered: impl Iterator<Item = (i64, &'e Event)>,
    standing: Standing,
) -> Result<Vec<bool>, sqlx::Error> {
    const SQL: &str = "insert into events (seq, id, received_at, standing, frame) values ($1, $2, $3, $4, $5)
        on conflict (id) do nothing";
    let mut added = Vec::new();
    for (seq, event) in numbered {
        let row = sqlx::query(SQL).bind(seq).bind(event.id).bind(event.at.timestamp_micros());
        let row = row.bind(standing as i64).bind(frame::write(seq, event));
        added.push(row.execute(&mut *conn).await?.rows_affected() == 1);
    }
    Ok(added)
}

async fn delete_all(
    conn: &mut SqliteConnection,
    numbers: impl Iterator<Item = i64>,
) -> Result<(), sqlx::Error> {
    conn.execute("begin immediate").await?;
    let deleted = delete_each(conn, numbers).await;
    end(conn, deleted).await
}

async fn delete_each(
    conn: &mut SqliteConnection,
    numbers: impl Iterator<Item = i64>,
) -> Result<(), sqlx::Error> {
    for seq in numbers {
        sqlx::query("delete from events where seq = $1").bind(seq).execute(&mut *conn).await?;
    }
    Ok(())
}

/// Ends a transaction as what was `done` in it came out. SQLite rolls back by itself when the disk is full, which a
/// transaction of sqlx does not expect.
async fn end<T>(conn: &mut SqliteConnection, done: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
    let ended = match done {
        Ok(done) => conn.execute("commit").await.map(|_| done),
        Err(error) => Err(error),
    };
    if ended.is_err() {
        drop(conn.execute("rollback").await);
    }
    ended
}

fn tell_lost(broken: &[i64]) {
    tracing::error!(
        ?broken,
        "the spool is damaged: events number {broken:?} in it cannot be read and are lost"
    );
}

fn unusable(error: &io::Error) -> StoreError {
    StoreError::Unavailable(format!("the spool cannot be used: {error}"))
}
