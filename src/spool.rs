//! The spool: a small SQLite file for events that Postgres cannot accept at the moment. Every commit is on
//! disk before it is acknowledged.
//!
//! A damaged file is quarantined and its intact events are salvaged into a new one: each event has its own
//! checksummed frame, which can be found without the database around it. Only damaged events are lost.
//!
//! Only one process can open the file: replicas on one machine need separate directories.

mod file;
mod frame;
mod rows;
mod salvage;
mod state;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use parking_lot::{Mutex, MutexGuard};
use sqlx::{Connection, Executor, Row, SqliteConnection};

use crate::event::{Event, EventKey};
use crate::store::StoreError;
use file::{is_damage, log_lost};
use rows::{delete_all, insert_all};
use state::State;

/// The size of a page, which holds the largest frame.
const PAGE_BYTES: u32 = 8_192;

/// The number of events that a search reads at a time.
const SEARCH_SIZE: u32 = 1_000;

/// What is known about the delivery of a spooled event to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The event may be in the store: the outcome of a write is unknown.
    Unconfirmed,
    /// The event was never sent to the store.
    Unsent,
    /// The store refused the event; it is retried at the next start.
    Refused,
}

/// An event in the spool, and its sequence number.
#[derive(Debug, Clone, PartialEq)]
pub struct Spooled {
    /// The sequence number, in order of arrival.
    pub seq: i64,
    /// The event.
    pub event: Event,
}

/// The spool.
#[derive(Debug)]
pub struct Spool {
    directory: PathBuf,
    max_pages: u32,
    /// `None` until it is opened, and while it cannot be opened.
    file: tokio::sync::Mutex<Option<SqliteConnection>>,
    state: Mutex<State>,
    /// Whether the last write succeeded.
    writable: AtomicBool,
    /// Whether its events were last found readable. A full spool is readable, though not writable.
    readable: AtomicBool,
}

/// Runs `$work` with the open file, and once more with a new file if the first one turns out damaged.
macro_rules! on_file {
    ($spool:expr, |$conn:ident| $work:expr) => {{
        let mut file = $spool.file.lock().await;
        let mut is_new = false;
        loop {
            let mut open = match file.take() {
                Some(open) => open,
                None => $spool.open_file().await?,
            };
            let $conn = &mut open;
            let done: Result<_, sqlx::Error> = async { $work }.await;
            match done {
                Err(error) if is_damage(&error) && !is_new => {
                    is_new = true;
                    drop(open);
                    $spool.quarantine()?;
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
    /// Creates a spool in `directory` of at most `max_mb` MiB, without opening it.
    #[must_use]
    pub fn new(directory: &Path, max_mb: u32) -> Self {
        Self {
            directory: directory.to_owned(),
            max_pages: max_mb.saturating_mul(1024 * 1024 / PAGE_BYTES),
            file: tokio::sync::Mutex::default(),
            state: Mutex::default(),
            writable: AtomicBool::new(false),
            readable: AtomicBool::new(false),
        }
    }

    /// Opens the file and reads the state of its events.
    pub async fn open(&self) -> Result<(), StoreError> {
        self.tracked(async { on_file!(self, |conn| conn.execute("select 1").await.map(drop)) }).await
    }

    /// Runs an operation on the file, and sets whether it is writable and readable by its success.
    async fn tracked<T>(
        &self,
        operation: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let result = operation.await;
        self.writable.store(result.is_ok(), Ordering::Relaxed);
        self.readable.store(result.is_ok(), Ordering::Relaxed);
        result
    }

    /// Returns whether the spool accepts events, as far as is known.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.writable.load(Ordering::Relaxed)
    }

    /// Returns whether the spool has events that the store may accept.
    #[must_use]
    pub fn has_pending(&self) -> bool {
        self.readable.load(Ordering::Relaxed) && self.state().has_pending()
    }

    /// Returns the state of the events in the spool.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Adds events. Returns for each whether it is new rather than a repeat of one in the spool.
    pub async fn add(&self, events: &[&Event], delivery: Delivery) -> Result<Vec<bool>, StoreError> {
        let added = self.insert_all(events, delivery).await;
        self.writable.store(added.is_ok(), Ordering::Relaxed);
        self.readable.fetch_or(added.is_ok(), Ordering::Relaxed);
        added
    }

    async fn insert_all(&self, events: &[&Event], delivery: Delivery) -> Result<Vec<bool>, StoreError> {
        let (first, added) = on_file!(self, |conn| {
            let first = self.state().next_seq();
            let numbered = (first..).zip(events.iter().copied());
            Ok((first, insert_all(conn, numbered, delivery).await?))
        })?;
        let mut state = self.state();
        for ((seq, event), _) in (first..).zip(events).zip(&added).filter(|(_, added)| **added) {
            state.add(seq, event);
        }
        Ok(added)
    }

    /// Returns which of `keys` are in the spool.
    pub async fn known(&self, keys: &[EventKey]) -> Result<Vec<EventKey>, StoreError> {
        on_file!(self, |conn| {
            let mut known = Vec::new();
            for key in keys {
                let sql = "select exists (select 1 from events where id = $1)";
                if sqlx::query_scalar(sql).bind(key.hashed()).fetch_one(&mut *conn).await? {
                    known.push(key.clone());
                }
            }
            Ok(known)
        })
    }

    /// Returns at most `limit` events after the sequence number `after`, in order, whose delivery is
    /// `delivery` or a variant before it.
    pub async fn next(&self, delivery: Delivery, after: i64, limit: u32) -> Result<Vec<Spooled>, StoreError> {
        self.tracked(self.next_intact(delivery, after, limit)).await
    }

    /// Returns the next events, and deletes those whose frames are corrupt.
    async fn next_intact(
        &self,
        delivery: Delivery,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Spooled>, StoreError> {
        const SQL: &str =
            "select seq, frame from events where standing <= $1 and seq > $2 order by seq limit $3";
        loop {
            let rows = on_file!(self, |conn| {
                let rows = sqlx::query(SQL).bind(delivery as i64).bind(after).bind(limit);
                rows.try_map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).fetch_all(conn).await
            })?;
            let (intact, corrupt) = decode(rows);
            if corrupt.is_empty() {
                return Ok(intact);
            }
            log_lost(&corrupt);
            on_file!(self, |conn| delete_all(conn, corrupt.iter().copied()).await)?;
        }
    }

    /// Removes events that are in the store.
    pub async fn remove(&self, stored: &[Spooled]) -> Result<(), StoreError> {
        if stored.is_empty() {
            return Ok(());
        }
        self.tracked(async {
            on_file!(self, |conn| delete_all(conn, stored.iter().map(|spooled| spooled.seq)).await)
        })
        .await?;
        let oldest = self.oldest().await?;
        self.state().remove(stored, oldest);
        if self.state().depth() == 0 {
            // Leaves no remnants of events in unused pages.
            on_file!(self, |conn| conn.execute("vacuum").await.map(drop))?;
        }
        Ok(())
    }

    /// Returns the events that `filter` selects, whatever their delivery.
    pub async fn find(
        &self,
        filter: &(dyn Fn(&Event) -> bool + Send + Sync),
    ) -> Result<Vec<Spooled>, StoreError> {
        let (mut found, mut after) = (Vec::new(), 0);
        loop {
            let some = self.next(Delivery::Refused, after, SEARCH_SIZE).await?;
            let Some(last) = some.last() else { return Ok(found) };
            after = last.seq;
            found.extend(some.into_iter().filter(|spooled| filter(&spooled.event)));
        }
    }

    /// Removes events that the store refused, without leaving remnants in the file.
    pub async fn discard(&self, refused: &[Spooled]) -> Result<(), StoreError> {
        if refused.is_empty() {
            return Ok(());
        }
        self.tracked(async {
            on_file!(self, |conn| {
                delete_all(conn, refused.iter().map(|spooled| spooled.seq)).await?;
                conn.execute("vacuum").await.map(drop)
            })
        })
        .await?;
        let oldest = self.oldest().await?;
        self.state().discard(refused, oldest);
        Ok(())
    }

    /// Records that the store refused an event.
    pub async fn mark_refused(&self, refused: &Spooled) -> Result<(), StoreError> {
        on_file!(self, |conn| {
            let update = sqlx::query("update events set standing = $1 where seq = $2");
            update.bind(Delivery::Refused as i64).bind(refused.seq).execute(conn).await.map(drop)
        })?;
        self.state().mark_refused();
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

/// Decodes frames. Returns the intact events, and the sequence numbers of corrupt frames.
fn decode(rows: Vec<(i64, Vec<u8>)>) -> (Vec<Spooled>, Vec<i64>) {
    let (mut intact, mut corrupt) = (Vec::new(), Vec::new());
    for (seq, bytes) in rows {
        match frame::read(&bytes) {
            Some((_, event)) => intact.push(Spooled { seq, event }),
            None => corrupt.push(seq),
        }
    }
    (intact, corrupt)
}
