//! Counts events without storing their rows. Their ids are stored, so that duplicates are recognised.

use std::collections::HashMap;
use std::sync::LazyLock;

use chrono::NaiveDateTime;
use chrono_tz::Tz;
use sqlx::{FromRow, PgConnection, SqliteConnection};
use uuid::Uuid;

use super::arrays::column;
use super::postgres::from_claimable;
use super::sqlite::{claimable, is_stored};
use super::{Outcome, Written, claimable_from, count};
use crate::event::Event;
use crate::rollup::Rollup;

/// Stores new ids, in ascending order, so that replicas do not deadlock. Returns the new ids, and the ids of events
/// whose rows are stored.
const STORE_IDS: &str = "
    with stored as (
        select event_id from ai_metrics where event_id = any($1)
    ), fresh as (
        insert into mlops_counted_events (event_id, at)
        select id, received_at from unnest($1::uuid[], $2::timestamptz[]) as input(id, received_at)
        where id not in (select event_id from stored)
        order by id
        on conflict (event_id) do nothing
        returning event_id
    ) select event_id, true as fresh from fresh union all select event_id, false from stored";

/// Deletes the foreign rows that the events would claim if they were stored, at most one per event. Returns the ids of
/// events that had one, and whether the row was already counted.
static REMOVE_CLAIMED: LazyLock<String> = LazyLock::new(|| {
    let from_claimable = from_claimable("$6");
    format!(
        "with input as (
            select *, row_number() over (partition by business_id, session_id, response_time_ms, tokens_used order by n) as turn
            from unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::int[]) with ordinality
                as input(event_id, business_id, session_id, response_time_ms, tokens_used, n)
        ), waiting as (
            select i.*, m.id, m.event_id is not null as counted from {from_claimable}
        ), paired as (
            select i.event_id, w.id, w.counted from input i
            join (select *, row_number() over (partition by business_id, session_id, response_time_ms, tokens_used
                                               order by id) as turn from waiting) w
            using (business_id, session_id, response_time_ms, tokens_used, turn)
        ), removed as (
            delete from ai_metrics m using paired p where m.id = p.id returning m.id
        ) select p.event_id, p.counted from paired p join removed r on r.id = p.id"
    )
});

/// Counts the events. Must run inside a transaction.
pub(super) async fn on_postgres(
    conn: &mut PgConnection,
    events: &[Event],
    zone: Tz,
) -> Result<Written, sqlx::Error> {
    let ids: Vec<Uuid> = events.iter().map(|event| event.id).collect();
    let at: Vec<_> = events.iter().map(|event| event.at).collect();
    let known = sqlx::query(STORE_IDS).bind(ids).bind(at);
    let known = known.try_map(|row| <(Uuid, bool)>::from_row(&row)).fetch_all(&mut *conn).await?;
    let known: HashMap<Uuid, bool> = known.into_iter().collect();
    let is_fresh = |event: &Event| known.get(&event.id) == Some(&true);
    let fresh: Vec<&Event> = events.iter().filter(|event| is_fresh(event)).collect();
    let claimed = match fresh[..] {
        [] => HashMap::new(),
        [..] => remove_claimed(conn, &fresh, claimable_from(events)).await?,
    };
    let uncounted = fresh.into_iter().filter(|event| claimed.get(&event.id) != Some(&true));
    let counted = count(conn, Rollup::of(uncounted, zone)).await?;
    let outcomes = events.iter().map(|event| match known.get(&event.id) {
        Some(true) => Outcome::CountedOnly,
        Some(false) => Outcome::Duplicate,
        None => Outcome::CountedOnlyDuplicate,
    });
    Ok(Written { outcomes: outcomes.collect(), counted })
}

async fn remove_claimed(
    conn: &mut PgConnection,
    events: &[&Event],
    from: NaiveDateTime,
) -> Result<HashMap<Uuid, bool>, sqlx::Error> {
    let events = || events.iter().copied();
    let removed = sqlx::query(REMOVE_CLAIMED.as_str())
        .bind(column(events(), |event| event.id))
        .bind(column(events(), |event| event.business_id.as_str()))
        .bind(column(events(), |event| event.session_id.as_str()))
        .bind(column(events(), |event| event.response_time_ms))
        .bind(column(events(), |event| event.tokens_used))
        .bind(from);
    let removed = removed.try_map(|row| <(Uuid, bool)>::from_row(&row)).fetch_all(conn).await?;
    Ok(removed.into_iter().collect())
}

/// Counts the events. Must run inside a transaction.
pub(super) async fn on_sqlite(
    conn: &mut SqliteConnection,
    events: &[Event],
    zone: Tz,
) -> Result<Written, sqlx::Error> {
    let (mut outcomes, mut uncounted) = (Vec::with_capacity(events.len()), Vec::new());
    for event in events {
        let outcome = store_id(conn, event).await?;
        if outcome == Outcome::CountedOnly && !remove_counted(conn, event, claimable_from(events)).await? {
            uncounted.push(event);
        }
        outcomes.push(outcome);
    }
    let counted = count(conn, Rollup::of(uncounted, zone)).await?;
    Ok(Written { outcomes, counted })
}

/// Deletes the foreign row that the event would claim. Returns whether there was one that was already counted.
async fn remove_counted(
    conn: &mut SqliteConnection,
    event: &Event,
    from: NaiveDateTime,
) -> Result<bool, sqlx::Error> {
    let Some((row, counted)) = claimable(conn, event, from).await? else { return Ok(false) };
    sqlx::query("delete from ai_metrics where id = $1").bind(row).execute(conn).await?;
    Ok(counted.is_some())
}

async fn store_id(conn: &mut SqliteConnection, event: &Event) -> Result<Outcome, sqlx::Error> {
    if is_stored(conn, event.id).await? {
        return Ok(Outcome::Duplicate);
    }
    let store =
        "insert into mlops_counted_events (event_id, at) values ($1, $2) on conflict (event_id) do nothing";
    let stored = sqlx::query(store).bind(event.id).bind(event.at).execute(conn).await?;
    Ok(if stored.rows_affected() == 1 { Outcome::CountedOnly } else { Outcome::CountedOnlyDuplicate })
}

/// Returns whether the event `id` is counted only.
pub(super) async fn is_counted(conn: &mut SqliteConnection, id: Uuid) -> Result<bool, sqlx::Error> {
    let counted =
        sqlx::query_scalar("select exists (select 1 from mlops_counted_events where event_id = $1)");
    counted.bind(id).fetch_one(conn).await
}
