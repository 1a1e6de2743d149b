//! Writes a batch of events that come from another database or an export, each at its own time, as `POST /track` would have at that time.
//!
//! What differs from [`Store::write`]: a foreign row is the same event if it was created within minutes of the event's own time, not of the
//! present; events beyond their retention period keep only their sums; and batches are larger, because nobody waits for one of them.

mod foreign;
mod postgres;
mod sqlite;

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::count;
use super::keeping::Keeping;
use crate::event::Event;
use crate::rollup::Rollup;
use crate::store::digest::sql::FactsDialect;
use crate::store::digest::{self, Appraisal};
use crate::store::privacy::Rows;
use crate::store::{CountedRollup, Store, StoreError, dialect};
use foreign::Found;

/// When rows are imported, and which of them are kept.
#[derive(Debug, Clone, Copy)]
pub struct ImportTerms {
    /// The time of the import.
    pub now: DateTime<Utc>,
    /// The time before which events are beyond their retention period; `None` if they are kept forever.
    pub cutoff: Option<DateTime<Utc>>,
}

/// An event with the `id` of its row in the table that it comes from, if it has one.
#[derive(Debug, Clone, Copy)]
pub struct Imports<'e> {
    /// Events with distinct keys.
    pub events: &'e [Event],
    /// The ids of their rows.
    pub row_ids: &'e [Option<i64>],
}

/// What became of an event that was imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportOutcome {
    /// It is stored, and counted.
    Stored,
    /// It is counted, and its row is not kept: it is beyond the retention period.
    Old,
    /// It is counted, and its row is not kept: its customer has not consented, or was erased.
    Unkept,
    /// It was stored or counted before.
    Known,
}

/// The result of importing a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Import {
    /// The outcome of each event, in the order of the batch.
    pub outcomes: Vec<ImportOutcome>,
    /// The rollup of the events that were counted.
    pub counted: CountedRollup,
}

/// A connection that imports, inside a transaction.
trait ImportRows: Rows + FactsDialect {
    /// The condition that a row `m` of another program was counted or may be, whether or not `/track` may still claim it.
    const IS_FOREIGN: &'static str;
    /// The same of a row that `/track` may still claim; there is an index of these.
    const IS_CLAIMABLE: &'static str;
    /// A from item, `i`, with the fields of the events in the JSON array `$1`, as `foreign::lookups_of` writes them.
    const LOOKUPS: &'static str;

    /// Gives the statements of the transaction more time than those that requests wait for.
    async fn extend_time(&mut self) -> Result<(), sqlx::Error>;

    /// Returns for each event whether it is stored or counted only.
    async fn known(&mut self, events: &[Event]) -> Result<Vec<bool>, sqlx::Error>;

    /// Locks these foreign rows. Returns the ids of those that still are foreign, and whether each is counted.
    async fn lock_foreign(&mut self, rows: &[i64]) -> Result<Vec<(i64, bool)>, sqlx::Error>;

    /// Gives a foreign row the id of its event.
    async fn claim(&mut self, row: i64, event: &Event) -> Result<(), sqlx::Error>;

    /// Inserts events, and digests them or leaves them to be digested, with the rows `claimed`. Returns for each event whether it was new.
    async fn insert(
        &mut self,
        events: &[Event],
        claimed: &[i64],
        appraisal: Appraisal<'_>,
    ) -> Result<Vec<bool>, sqlx::Error>;

    /// Records events as counted without a row, as of `now`. Returns for each whether it was new.
    async fn remember(&mut self, events: &[Event], now: DateTime<Utc>) -> Result<Vec<bool>, sqlx::Error>;
}

impl Store {
    /// Imports events atomically, within `limit`.
    pub async fn import(
        &self,
        imports: Imports<'_>,
        terms: ImportTerms,
        limit: Duration,
    ) -> Result<Import, StoreError> {
        let profiles = self.profiles.current();
        let appraisal = self.appraisal(&profiles);
        on!(&self.write, limit, |conn| {
            let mut tx = dialect::begin(conn).await?;
            tx.extend_time().await?;
            let imported = write(&mut *tx, imports, terms, &self.keeping, appraisal).await?;
            tx.commit().await?;
            Ok(imported)
        })
    }

    /// Returns what importing events would make of them, and changes nothing.
    pub async fn preview_import(
        &self,
        imports: Imports<'_>,
        terms: ImportTerms,
        limit: Duration,
    ) -> Result<Vec<ImportOutcome>, StoreError> {
        on!(&self.read, limit, |conn| {
            let mut tx = sqlx::Connection::begin(conn).await?;
            let known = tx.known(imports.events).await?;
            let kept = kept(&mut *tx, imports.events, &self.keeping).await?;
            let found = foreign::find(&mut *tx, imports, &known).await?;
            let outcomes = imports.events.iter().enumerate().map(|(n, event)| match (known[n], found[n]) {
                (true, _) => ImportOutcome::Known,
                (false, Some(found)) if found.counted => ImportOutcome::Known,
                (false, _) => planned(event, kept[n], terms),
            });
            Ok(outcomes.collect())
        })
    }
}

/// Returns for each event whether its row may be kept; see [`Keeping::decide`]. Most stores have no tombstones, and then there is nothing to
/// hash.
async fn kept<C: ImportRows>(
    conn: &mut C,
    events: &[Event],
    keeping: &Keeping,
) -> Result<Vec<bool>, sqlx::Error> {
    // The parameter makes it a query with one, as all are.
    const ANY: &str = "select cast(count(*) as bigint) from (
        select 1 as one from mlops_tombstones where $1 <> '' limit 1) one";
    if !keeping.by_consent {
        conn.run(C::LOCK_TOMBSTONES_SHARED.to_owned(), &[]).await?;
        let any: Vec<(i64,)> = conn.rows(ANY.to_owned(), "-".to_owned()).await?;
        if any == [(0,)] {
            return Ok(vec![true; events.len()]);
        }
    }
    keeping.decide(conn, events).await
}

/// Returns what becomes of an event that is new.
fn planned(event: &Event, kept: bool, terms: ImportTerms) -> ImportOutcome {
    match kept {
        false => ImportOutcome::Unkept,
        true if terms.cutoff.is_some_and(|cutoff| event.at < cutoff) => ImportOutcome::Old,
        true => ImportOutcome::Stored,
    }
}

/// Writes the batch. Must run inside a transaction.
async fn write<C: ImportRows>(
    conn: &mut C,
    imports: Imports<'_>,
    terms: ImportTerms,
    keeping: &Keeping,
    appraisal: Appraisal<'_>,
) -> Result<Import, sqlx::Error> {
    let events = imports.events;
    let known = conn.known(events).await?;
    let mut outcomes = vec![ImportOutcome::Known; events.len()];
    if known.iter().all(|known| *known) {
        return Ok(Import { outcomes, counted: CountedRollup::default() });
    }
    let kept = kept(conn, events, keeping).await?;
    let mut found = foreign::find(conn, imports, &known).await?;
    foreign::lock(conn, &mut found).await?;
    let mut parts = Parts::default();
    for (n, event) in events.iter().enumerate() {
        if !known[n] {
            parts.add(n, planned(event, kept[n], terms), found[n]);
        }
    }
    let written = parts.write(conn, events, terms, appraisal).await?;
    for (n, outcome) in &written {
        outcomes[*n] = *outcome;
    }
    let counted = written.iter().filter(|(n, _)| !found[*n].is_some_and(|found| found.counted));
    let rollup = Rollup::of(counted.map(|(n, _)| &events[*n]), appraisal.profiles);
    Ok(Import { outcomes, counted: count(conn, rollup).await? })
}

/// The numbers of the new events of a batch, by what becomes of them.
#[derive(Debug, Default)]
struct Parts {
    /// Those to insert.
    inserted: Vec<usize>,
    /// Those that claim a foreign row, and are kept.
    claimed: Vec<(usize, Found)>,
    /// Those to count only, with what becomes of them.
    counted_only: Vec<(usize, ImportOutcome)>,
    /// Foreign rows of events that are not kept.
    removed: Vec<i64>,
}

impl Parts {
    fn add(&mut self, n: usize, outcome: ImportOutcome, found: Option<Found>) {
        match (outcome, found) {
            (ImportOutcome::Stored, None) => self.inserted.push(n),
            (ImportOutcome::Stored, Some(found)) => self.claimed.push((n, found)),
            // Retention deletes the row, and counts it if nobody else has.
            (ImportOutcome::Old, Some(_)) | (ImportOutcome::Known, _) => {}
            (ImportOutcome::Old, None) => self.counted_only.push((n, outcome)),
            (ImportOutcome::Unkept, found) => {
                self.removed.extend(found.map(|found| found.row));
                self.counted_only.push((n, outcome));
            }
        }
    }

    /// Writes them. Returns the numbers of those that are counted now or were as a foreign row, with their outcome.
    async fn write<C: ImportRows>(
        &self,
        conn: &mut C,
        events: &[Event],
        terms: ImportTerms,
        appraisal: Appraisal<'_>,
    ) -> Result<Vec<(usize, ImportOutcome)>, sqlx::Error> {
        let mut counted = Vec::with_capacity(events.len());
        for (n, found) in &self.claimed {
            conn.claim(found.row, &events[*n]).await?;
            let outcome = if found.counted { ImportOutcome::Known } else { ImportOutcome::Stored };
            counted.push((*n, outcome));
        }
        let uncounted = self.claimed.iter().filter(|(_, found)| !found.counted);
        let uncounted: Vec<i64> = uncounted.map(|(_, found)| found.row).collect();
        // Mostly these are all.
        let inserted: Cow<'_, [Event]> = match self.inserted.len() == events.len() {
            true => events.into(),
            false => self.inserted.iter().map(|n| events[*n].clone()).collect::<Vec<_>>().into(),
        };
        let new = conn.insert(&inserted, &uncounted, appraisal).await?;
        let new = self.inserted.iter().zip(new).filter(|(_, is_new)| *is_new);
        counted.extend(new.map(|(n, _)| (*n, ImportOutcome::Stored)));
        counted.extend(self.count_only(conn, events, terms, appraisal).await?);
        Ok(counted)
    }

    /// Counts what is not kept. What was kept until it was old has been digested, so that is digested as well.
    async fn count_only<C: ImportRows>(
        &self,
        conn: &mut C,
        events: &[Event],
        terms: ImportTerms,
        appraisal: Appraisal<'_>,
    ) -> Result<Vec<(usize, ImportOutcome)>, sqlx::Error> {
        if self.counted_only.is_empty() {
            return Ok(Vec::new());
        }
        foreign::remove(conn, &self.removed).await?;
        let all: Vec<Event> = self.counted_only.iter().map(|(n, _)| events[*n].clone()).collect();
        let new = conn.remember(&all, terms.now).await?;
        let counted = self.counted_only.iter().copied().zip(new).filter(|(_, is_new)| *is_new);
        let counted: Vec<_> = counted.map(|(counted, _)| counted).collect();
        let old = counted.iter().filter(|(_, outcome)| *outcome == ImportOutcome::Old);
        let old: Vec<&Event> = old.map(|(n, _)| &events[*n]).collect();
        if !old.is_empty() {
            conn.lock().await?;
            digest::add(conn, appraisal.digest(old)).await?;
        }
        Ok(counted)
    }
}
