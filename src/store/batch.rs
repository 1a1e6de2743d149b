//! Writes a batch of events with their rollups, each event once.

mod postgres;
mod sqlite;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

use super::{Db, Store, StoreError, WRITE_LIMIT};
use crate::event::Event;

/// How old, in minutes, a row that another program inserted may be for `/track` to claim it.
pub const CLAIM_MINUTES: i64 = 10;

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It is stored, and counted in the rollups by this batch.
    Counted,
    /// It is stored as a row that was there and counted before it was reported.
    Claimed,
    /// Its id was stored before.
    Duplicate,
}

impl Store {
    /// How many of `events`, from the first on, [`Store::write`] takes together.
    pub fn fits<'e>(&self, events: impl Iterator<Item = &'e Event>) -> usize {
        match &self.write {
            Db::Postgres(_) => postgres::fits(events, self.zone),
            Db::Sqlite(_) => events.count(),
        }
    }

    /// Writes events that fit together and whose ids differ, all or none; gives what became of each, in order.
    pub async fn write(&self, events: &[Event]) -> Result<Vec<Written>, StoreError> {
        match &self.write {
            Db::Postgres(db) => {
                on!(@run db, WRITE_LIMIT, conn, postgres::write(conn, events, self.zone).await)
            }
            Db::Sqlite(db) => {
                on!(@run db, WRITE_LIMIT, conn, sqlite::write(conn, events, self.zone).await)
            }
        }
    }
}

/// The time from which on a foreign row may be claimed by a batch that begins with `first`.
fn claimable_from(events: &[Event]) -> NaiveDateTime {
    let first = events.iter().map(|event| event.at).min().unwrap_or(DateTime::<Utc>::MAX_UTC);
    (first - TimeDelta::minutes(CLAIM_MINUTES)).naive_utc()
}
