//! Counts events without storing their rows. Their keys are stored, so that duplicates are recognised.

use std::collections::HashMap;
use std::sync::LazyLock;

use chrono::NaiveDateTime;
use sqlx::{FromRow, PgConnection, SqliteConnection};
use uuid::Uuid;

use super::arrays::column;
use super::postgres::from_claimable;
use super::sqlite::{self, claimable};
use super::{WriteOutcome, Written, claimable_from, count, is_counted_only, is_stored};
use crate::business::Profiles;
use crate::event::{Event, EventKey};
use crate::rollup::Rollup;

/// Stores new keys, in ascending order, so that replicas do not deadlock. Returns the new keys, and those of events whose rows are
/// stored.
static STORE_KEYS: LazyLock<String> = LazyLock::new(|| {
    let (is_stored, is_counted_only) = (is_stored("i"), is_counted_only("i"));
    format!(
        "with input as (
            select * from unnest($1::uuid[], $2::text[], $3::timestamptz[]) i(event_id, business_id, received_at)
        ), stored as (
            select business_id, event_id from input i where {is_stored}
        ), fresh as (
            insert into mlops_counted_events (event_id, business_id, at)
            select event_id, business_id, received_at from input i
            where (business_id, event_id) not in (select business_id, event_id from stored)
              and not {is_counted_only}
            order by event_id, business_id
            on conflict (event_id, business_id) do nothing
            returning business_id, event_id
        ) select business_id, event_id, true as fresh from fresh
        union all select business_id, event_id, false from stored"
    )
});

/// Deletes the foreign rows that the events would claim if they were stored, at most one per event. Returns the keys of
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
            select i.business_id, i.event_id, w.id, w.counted from input i
            join (select *, row_number() over (partition by business_id, session_id, response_time_ms, tokens_used
                                               order by id) as turn from waiting) w
            using (business_id, session_id, response_time_ms, tokens_used, turn)
        ), removed as (
            delete from ai_metrics m using paired p where m.id = p.id returning m.id
        ) select p.business_id, p.event_id, p.counted from paired p join removed r on r.id = p.id"
    )
});

/// Counts the events. Must run inside a transaction.
pub(super) async fn on_postgres(
    conn: &mut PgConnection,
    events: &[Event],
    profiles: &Profiles,
) -> Result<Written, sqlx::Error> {
    let known = sqlx::query(STORE_KEYS.as_str())
        .bind(column(events, |event| event.id))
        .bind(column(events, |event| event.business_id.as_str()))
        .bind(column(events, |event| event.at));
    let known = by_key(known.try_map(|row| Row::from_row(&row)).fetch_all(&mut *conn).await?);
    let is_fresh = |event: &Event| known.get(&event.key()) == Some(&true);
    let fresh: Vec<&Event> = events.iter().filter(|event| is_fresh(event)).collect();
    let claimed = match fresh[..] {
        [] => HashMap::new(),
        [..] => remove_claimed(conn, &fresh, claimable_from(events)).await?,
    };
    let uncounted = fresh.into_iter().filter(|event| claimed.get(&event.key()) != Some(&true));
    let counted = count(conn, Rollup::of(uncounted, profiles)).await?;
    let outcomes = events.iter().map(|event| match known.get(&event.key()) {
        Some(true) => WriteOutcome::CountedOnly,
        Some(false) => WriteOutcome::Duplicate,
        None => WriteOutcome::CountedOnlyDuplicate,
    });
    Ok(Written { outcomes: outcomes.collect(), counted })
}

async fn remove_claimed(
    conn: &mut PgConnection,
    events: &[&Event],
    from: NaiveDateTime,
) -> Result<HashMap<EventKey, bool>, sqlx::Error> {
    let events = || events.iter().copied();
    let removed = sqlx::query(REMOVE_CLAIMED.as_str())
        .bind(column(events(), |event| event.id))
        .bind(column(events(), |event| event.business_id.as_str()))
        .bind(column(events(), |event| event.session_id.as_str()))
        .bind(column(events(), |event| event.response_time_ms))
        .bind(column(events(), |event| event.tokens_used))
        .bind(from);
    Ok(by_key(removed.try_map(|row| Row::from_row(&row)).fetch_all(conn).await?))
}

/// A key, and something about its event.
type Row = (String, Uuid, bool);

fn by_key(rows: Vec<Row>) -> HashMap<EventKey, bool> {
    rows.into_iter().map(|(business_id, id, value)| (EventKey { business_id, id }, value)).collect()
}

/// Counts the events. Must run inside a transaction.
pub(super) async fn on_sqlite(
    conn: &mut SqliteConnection,
    events: &[Event],
    profiles: &Profiles,
) -> Result<Written, sqlx::Error> {
    let (mut outcomes, mut uncounted) = (Vec::with_capacity(events.len()), Vec::new());
    for event in events {
        let outcome = store_key(conn, event).await?;
        if outcome == WriteOutcome::CountedOnly
            && !remove_counted(conn, event, claimable_from(events)).await?
        {
            uncounted.push(event);
        }
        outcomes.push(outcome);
    }
    let counted = count(conn, Rollup::of(uncounted, profiles)).await?;
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

async fn store_key(conn: &mut SqliteConnection, event: &Event) -> Result<WriteOutcome, sqlx::Error> {
    if sqlite::is_stored(conn, event).await? {
        return Ok(WriteOutcome::Duplicate);
    }
    if is_counted(conn, event).await? {
        return Ok(WriteOutcome::CountedOnlyDuplicate);
    }
    let store = "insert into mlops_counted_events (event_id, business_id, at) values ($1, $2, $3)";
    sqlx::query(store).bind(event.id).bind(&event.business_id).bind(event.at).execute(conn).await?;
    Ok(WriteOutcome::CountedOnly)
}

/// Returns whether the event is counted only.
pub(super) async fn is_counted(conn: &mut SqliteConnection, event: &Event) -> Result<bool, sqlx::Error> {
    let counted = "select exists (select 1 from mlops_counted_events
                                  where event_id = $1 and business_id in ('', $2))";
    sqlx::query_scalar(counted).bind(event.id).bind(&event.business_id).fetch_one(conn).await
}
