//! Writes a batch if consent is required: in one transaction, events with consent are stored and the others are only
//! counted.

use chrono_tz::Tz;
use sqlx::{Connection, PgConnection, SqliteConnection};

use super::{CountedRollup, Outcome, Written, counted_only, postgres, sqlite};
use crate::event::Event;
use crate::privacy::subject::Hasher;
use crate::store::connection::write_queue::WriteQueue;
use crate::store::dialect;
use crate::store::privacy::consents::lookup;

/// Writes the batch; see [`crate::store::Store::write`].
pub(super) async fn on_postgres(
    conn: &mut PgConnection,
    events: &[Event],
    again: bool,
    zone: Tz,
    hasher: &Hasher,
) -> Result<Written, sqlx::Error> {
    let mut tx = conn.begin().await?;
    let consented = lookup::on_postgres(&mut tx, events, hasher).await?;
    let (stored, counted_only) = split(events, &consented);
    let stored = match stored[..] {
        [] => empty(),
        [..] => postgres::write(&mut tx, &stored, again, zone).await?,
    };
    let counted_only = match counted_only[..] {
        [] => empty(),
        [..] => counted_only::on_postgres(&mut tx, &counted_only, zone).await?,
    };
    tx.commit().await?;
    Ok(join(&consented, stored, counted_only))
}

/// Writes the batch; see [`crate::store::Store::write`].
pub(super) async fn on_sqlite(
    conn: &mut SqliteConnection,
    events: &[Event],
    zone: Tz,
    queue: Option<&WriteQueue>,
    hasher: &Hasher,
) -> Result<Written, sqlx::Error> {
    let mut tx = dialect::begin(conn).await?;
    let consented = lookup::on_sqlite(&mut tx, events, hasher).await?;
    let (stored, counted_only) = split(events, &consented);
    let stored = match stored[..] {
        [] => empty(),
        [..] => sqlite::write_in(&mut tx, &stored, zone, queue).await?,
    };
    let counted_only = match counted_only[..] {
        [] => empty(),
        [..] => counted_only::on_sqlite(&mut tx, &counted_only, zone).await?,
    };
    tx.commit().await?;
    Ok(join(&consented, stored, counted_only))
}

/// Splits the events into those with consent and those without.
fn split(events: &[Event], consented: &[bool]) -> (Vec<Event>, Vec<Event>) {
    let with = |wanted: bool| {
        let chosen = events.iter().zip(consented).filter(move |(_, consented)| **consented == wanted);
        chosen.map(|(event, _)| event.clone()).collect()
    };
    (with(true), with(false))
}

fn empty() -> Written {
    Written { outcomes: Vec::new(), counted: CountedRollup::default() }
}

/// Joins the results of both parts, in the order of the batch.
fn join(consented: &[bool], stored: Written, counted_only: Written) -> Written {
    let mut counted = stored.counted;
    counted.add(counted_only.counted);
    let (mut stored, mut counted_only) = (stored.outcomes.into_iter(), counted_only.outcomes.into_iter());
    let mut next = |consented: bool| if consented { stored.next() } else { counted_only.next() };
    let outcomes: Vec<Outcome> = consented
        .iter()
        .map(|consented| next(*consented).expect("each part has an outcome for each event"))
        .collect();
    Written { outcomes, counted }
}
