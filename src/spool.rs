//! Events that wait on local disk while Postgres cannot take them: a small SQLite file, of which every commit is on disk
//! before anybody hears of it.
//!
//! A file that turns out damaged is moved aside, and what is whole in it goes into a new one: each event lies in a frame
//! of its own that can be found and checked without the database around it. So damage costs what it hit.
//!
//! One process at a time has the file: replicas on one machine need folders of their own.

mod file;
mod frame;
mod rows;
mod salvage;
mod state;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use sqlx::{Connection, Executor, Row, SqliteConnection};
use uuid::Uuid;

use crate::event::Event;
use crate::store::StoreError;
use file::{is_damage, tell_lost};
use rows::{delete_all, insert_all};
use state::State;

/// The size of a page, which holds the largest frame.
const PAGE_BYTES: u32 = 8_192;

/// Events that are looked through at once.
const LOOKED_THROUGH: u32 = 1_000;

/// What is known of an event in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It may be in the store: its writing came to no known end.
    Unconfirmed,
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
    /// Whether it accepts events, as far as is known.
    writable: AtomicBool,
    /// Whether its events can be read, as far as is known: those of a full one can.
    readable: AtomicBool,
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
            writable: AtomicBool::new(false),
            readable: AtomicBool::new(false),
        }
    }

    /// Opens the file, so that what it holds is known.
    pub async fn open(&self) -> Result<(), StoreError> {
        self.noted(async { on_file!(self, |conn| conn.execute("select 1").await.map(drop)) }).await
    }

    /// Does what the file is asked for, and notes whether it went well.
    async fn noted<T>(&self, asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let done = asked.await;
        self.writable.store(done.is_ok(), Ordering::Relaxed);
        self.readable.store(done.is_ok(), Ordering::Relaxed);
        done
    }

    /// Returns whether it accepts events, as far as is known.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.writable.load(Ordering::Relaxed)
    }

    /// Returns whether it holds events that the store may accept.
    #[must_use]
    pub fn has_pending(&self) -> bool {
        self.readable.load(Ordering::Relaxed) && self.state().has_pending()
    }

    /// What is known of the events in it.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds events. Returns for each whether it is new, rather than that its id was there.
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

    /// Returns which of `ids` are in it.
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

    /// Returns at most `most` events of at most this delivery with numbers after `after`, in order.
    pub async fn next(&self, delivery: Delivery, after: i64, most: u32) -> Result<Vec<Spooled>, StoreError> {
        self.noted(self.whole(delivery, after, most)).await
    }

    async fn whole(&self, delivery: Delivery, after: i64, most: u32) -> Result<Vec<Spooled>, StoreError> {
        const SQL: &str =
            "select seq, frame from events where standing <= $1 and seq > $2 order by seq limit $3";
        loop {
            let rows = on_file!(self, |conn| {
                let rows = sqlx::query(SQL).bind(delivery as i64).bind(after).bind(most);
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

    /// The events in it that are `theirs`, whatever their delivery.
    pub async fn find(
        &self,
        theirs: &(dyn Fn(&Event) -> bool + Send + Sync),
    ) -> Result<Vec<Spooled>, StoreError> {
        let (mut found, mut after) = (Vec::new(), 0);
        loop {
            let some = self.next(Delivery::Refused, after, LOOKED_THROUGH).await?;
            let Some(last) = some.last() else { return Ok(found) };
            after = last.seq;
            found.extend(some.into_iter().filter(|spooled| theirs(&spooled.event)));
        }
    }

    /// Removes events that the store refuses, so that nothing of them is left in the file.
    pub async fn discard(&self, refused: &[Spooled]) -> Result<(), StoreError> {
        if refused.is_empty() {
            return Ok(());
        }
        self.noted(async {
            on_file!(self, |conn| {
                delete_all(conn, refused.iter().map(|spooled| spooled.seq)).await?;
                conn.execute("vacuum").await.map(drop)
            })
        })
        .await?;
        let oldest = self.oldest().await?;
        self.state().forget(refused, oldest);
        Ok(())
    }

    /// Notes that the store refuses an event.
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
