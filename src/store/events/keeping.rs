//! Writes a batch of which some rows may not be kept: events of erased conversations and, if consent is required, those without
//! it. In one transaction, the others are stored and these are only counted.

use std::borrow::Cow;

use sqlx::{Connection, PgConnection, SqliteConnection};

use super::{CountedRollup, WriteOutcome, Written, counted_only, postgres, reconcile, sqlite};
use crate::business::Profiles;
use crate::event::Event;
use crate::privacy::subject::Hasher;
use crate::store::connection::write_queue::WriteQueue;
use crate::store::dialect;
use crate::store::privacy::consents::lookup;
use crate::store::privacy::{Rows, tombstones};

/// What decides which rows are kept.
#[derive(Debug, Clone)]
pub(in crate::store) struct Keeping {
    /// Hashes conversations, sessions and customers. Without one nobody can have been erased.
    pub(in crate::store) hasher: Option<Hasher>,
    /// Whether consent is required.
    pub(in crate::store) by_consent: bool,
}

impl Keeping {
    /// Returns for each event whether its row may be kept. Must run inside a transaction; neither a consent nor a tombstone is added until
    /// its end.
    pub(in crate::store) async fn decide<C: Rows>(
        &self,
        conn: &mut C,
        events: &[Event],
    ) -> Result<Vec<bool>, sqlx::Error> {
        let Some(hasher) = &self.hasher else { return Ok(vec![true; events.len()]) };
        let mut kept = match self.by_consent {
            true => lookup::consented(conn, events, hasher).await?,
            false => vec![true; events.len()],
        };
        let erased = tombstones::erased(conn, events, hasher).await?;
        kept.iter_mut().zip(erased).for_each(|(kept, erased)| *kept &= !erased);
        Ok(kept)
    }

    /// Returns the marks of the tombstones that may concern any of the events.
    fn marks(&self, events: &[Event]) -> Vec<i64> {
        let Some(hasher) = &self.hasher else { return Vec::new() };
        let mut marks: Vec<i64> =
            events.iter().filter_map(|event| tombstones::mark_of(event, hasher)).collect();
        marks.sort_unstable();
        marks.dedup();
        marks
    }
}

/// Writes the batch; see [`crate::store::Store::write`].
pub(super) async fn on_postgres(
    conn: &mut PgConnection,
    events: &[Event],
    again: bool,
    profiles: &Profiles,
    keeping: &Keeping,
) -> Result<Written, sqlx::Error> {
    // Most batches take one statement.
    if !keeping.by_consent
        && let Some(written) =
            postgres::store_all_new(conn, events, again, profiles, &keeping.marks(events)).await?
    {
        return Ok(written);
    }
    let mut tx = conn.begin().await?;
    let kept = keeping.decide(&mut *tx, events).await?;
    let (stored, counted_only) = split(events, &kept);
    let stored = match &stored[..] {
        [] => empty(),
        some => store(&mut tx, some, again, profiles, keeping.by_consent).await?,
    };
    let counted_only = match &counted_only[..] {
        [] => empty(),
        some => counted_only::on_postgres(&mut tx, some, profiles).await?,
    };
    tx.commit().await?;
    Ok(join(&kept, stored, counted_only))
}

/// Stores events that may be kept. `may_be_new` is whether nobody has tried that yet.
async fn store(
    conn: &mut PgConnection,
    events: &[Event],
    again: bool,
    profiles: &Profiles,
    may_be_new: bool,
) -> Result<Written, sqlx::Error> {
    let new = match may_be_new {
        true => postgres::store_all_new(conn, events, again, profiles, &[]).await?,
        false => None,
    };
    match new {
        Some(written) => Ok(written),
        None => reconcile::write(conn, events, profiles).await,
    }
}

/// Writes the batch; see [`crate::store::Store::write`].
pub(super) async fn on_sqlite(
    conn: &mut SqliteConnection,
    events: &[Event],
    profiles: &Profiles,
    queue: Option<&WriteQueue>,
    keeping: &Keeping,
) -> Result<Written, sqlx::Error> {
    const ANY_TOMBSTONE: &str = "select exists (select 1 from mlops_tombstones)";
    let mut tx = dialect::begin(conn).await?;
    let keeps_all = !keeping.by_consent
        && (keeping.hasher.is_none() || !sqlx::query_scalar(ANY_TOMBSTONE).fetch_one(&mut *tx).await?);
    let kept = match keeps_all {
        true => vec![true; events.len()],
        false => keeping.decide(&mut *tx, events).await?,
    };
    let (stored, counted_only) = split(events, &kept);
    let stored = match &stored[..] {
        [] => empty(),
        some => sqlite::write_in(&mut tx, some, profiles, queue).await?,
    };
    let counted_only = match &counted_only[..] {
        [] => empty(),
        some => counted_only::on_sqlite(&mut tx, some, profiles).await?,
    };
    tx.commit().await?;
    Ok(join(&kept, stored, counted_only))
}

/// Splits the events into those whose rows may be kept and those that are only counted.
fn split<'e>(events: &'e [Event], kept: &[bool]) -> (Cow<'e, [Event]>, Cow<'e, [Event]>) {
    if kept.iter().all(|kept| *kept) {
        return (Cow::Borrowed(events), Cow::Borrowed(&[]));
    }
    let with = |wanted: bool| {
        let chosen = events.iter().zip(kept).filter(move |(_, kept)| **kept == wanted);
        chosen.map(|(event, _)| event.clone()).collect::<Vec<_>>().into()
    };
    (with(true), with(false))
}

fn empty() -> Written {
    Written { outcomes: Vec::new(), counted: CountedRollup::default() }
}

/// Joins the results of both parts, in the order of the batch.
fn join(kept: &[bool], stored: Written, counted_only: Written) -> Written {
    let mut counted = stored.counted;
    counted.add(counted_only.counted);
    let (mut stored, mut counted_only) = (stored.outcomes.into_iter(), counted_only.outcomes.into_iter());
    let mut next = |kept: bool| if kept { stored.next() } else { counted_only.next() };
    let outcomes: Vec<WriteOutcome> =
        kept.iter().map(|kept| next(*kept).expect("each part has an outcome for each event")).collect();
    Written { outcomes, counted }
}
