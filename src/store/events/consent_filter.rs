//! A batch where consent is required: what customers have consented to is stored as any batch is, the rest is only
//! counted, in one transaction.

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
    let (kept, counted_only) = parted(events, &consented);
    let kept = match kept[..] {
        [] => nothing(),
        [..] => postgres::write(&mut tx, &kept, again, zone).await?,
    };
    let counted_only = match counted_only[..] {
        [] => nothing(),
        [..] => counted_only::on_postgres(&mut tx, &counted_only, zone).await?,
    };
    tx.commit().await?;
    Ok(joined(&consented, kept, counted_only))
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
    let (kept, counted_only) = parted(events, &consented);
    let kept = match kept[..] {
        [] => nothing(),
        [..] => sqlite::write_in(&mut tx, &kept, zone, queue).await?,
    };
    let counted_only = match counted_only[..] {
        [] => nothing(),
        [..] => counted_only::on_sqlite(&mut tx, &counted_only, zone).await?,
    };
    tx.commit().await?;
    Ok(joined(&consented, kept, counted_only))
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
    Written { outcomes: Vec::new(), counted: CountedRollup::default() }
}

/// The batch as a whole, in its order.
fn joined(consented: &[bool], kept: Written, counted_only: Written) -> Written {
    let mut counted = kept.counted;
    counted.add(counted_only.counted);
    let (mut kept, mut counted_only) = (kept.outcomes.into_iter(), counted_only.outcomes.into_iter());
    let mut next = |consented: bool| if consented { kept.next() } else { counted_only.next() };
    let outcomes: Vec<Outcome> = consented
        .iter()
        .map(|consented| next(*consented).expect("each part has an outcome for each event"))
        .collect();
    Written { outcomes, counted }
}
