//! A batch where consent is required: what customers have consented to is stored as any batch is, the rest is only
//! counted, in one transaction.

use chrono_tz::Tz;
use sqlx::{Connection, PgConnection, SqliteConnection};

use super::{Counted, Outcome, Written, postgres, sqlite, unkept};
use crate::event::Event;
use crate::store::consents::lookup;
use crate::store::dialect;
use crate::store::turns::Turns;
use crate::subject::Hasher;

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
    let (kept, unkept) = parted(events, &consented);
    let kept = match kept[..] {
        [] => nothing(),
        [..] => postgres::write(&mut tx, &kept, again, zone).await?,
    };
    let unkept = match unkept[..] {
        [] => nothing(),
        [..] => unkept::on_postgres(&mut tx, &unkept, zone).await?,
    };
    tx.commit().await?;
    Ok(joined(&consented, kept, unkept))
}

/// Writes the batch; see [`crate::store::Store::write`].
pub(super) async fn on_sqlite(
    conn: &mut SqliteConnection,
    events: &[Event],
    zone: Tz,
    turns: Option<&Turns>,
    hasher: &Hasher,
) -> Result<Written, sqlx::Error> {
    let mut tx = dialect::begin(conn).await?;
    let consented = lookup::on_sqlite(&mut tx, events, hasher).await?;
    let (kept, unkept) = parted(events, &consented);
    let kept = match kept[..] {
        [] => nothing(),
        [..] => sqlite::write_in(&mut tx, &kept, zone, turns).await?,
    };
    let unkept = match unkept[..] {
        [] => nothing(),
        [..] => unkept::on_sqlite(&mut tx, &unkept, zone).await?,
    };
    tx.commit().await?;
    Ok(joined(&consented, kept, unkept))
}

/// The events with consent, and those without.
fn parted(events: &[Event], consented: &[bool]) -> (Vec<Event>, Vec<Event>) {
    let with = |wanted: bool| {
        let chosen = events.iter().zip(consented).filter(move |(_, consented)| **consented == wanted);
        chosen.map(|(event, _)| event.clone()).collect()
    };
    (with(true), with(false))
}

fn nothing() -> Written {
    Written { outcomes: Vec::new(), counted: Counted::default() }
}

/// The batch as a whole, in its order.
fn joined(consented: &[bool], kept: Written, unkept: Written) -> Written {
    let mut counted = kept.counted;
    counted.add(unkept.counted);
    let (mut kept, mut unkept) = (kept.outcomes.into_iter(), unkept.outcomes.into_iter());
    let mut next = |consented: bool| if consented { kept.next() } else { unkept.next() };
    let outcomes: Vec<Outcome> = consented
        .iter()
        .map(|consented| next(*consented).expect("each part has an outcome for each event"))
        .collect();
    Written { outcomes, counted }
}
