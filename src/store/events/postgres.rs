//! Writes a batch on Postgres with one prepared statement: one round trip and one commit.

use std::sync::LazyLock;

use sqlx::{Connection, PgConnection, Row};

use super::arrays::{bind_events, column, event_rows, insert_events};
use super::{WriteOutcome, Written, claimable_from, found_among, tls_record};
use crate::business::Profiles;
use crate::event::Event;
use crate::rollup::{Key, Rollup};
use crate::store::placeholders::Placeholders;
use crate::store::rollups::columns::{list, pending_columns};
use crate::store::rollups::pending::{Columns, CountedRollup};

/// The condition of a foreign row that an event may claim. It is also the condition of the partial index on them.
pub(super) const CLAIMABLE: &str = "event_id is null or event_id between '00000000-0000-8000-8000-000000000000' and '00000000-0000-8000-8000-ffffffffffff'";

/// Stores events whose ids were just generated, so that none of them can be stored already.
static STORE_GENERATED: LazyLock<String> = LazyLock::new(|| store_new_sql(false));

/// Stores events of which some have ids chosen by callers or may be stored by an earlier attempt.
static STORE_UNLESS_STORED: LazyLock<String> = LazyLock::new(|| store_new_sql(true));

/// Returns a statement that stores events with their rollup, unless one of them may claim a foreign row, has a tombstone or, with
/// `look_up`, is stored or counted only; then it does nothing. With `look_up`, the last parameters are arrays of ids and
/// businesses to look up. The statement first checks whether there are any claimable rows, because most installations have none.
/// If another session stores one of the ids concurrently, the unique index makes the statement fail.
fn store_new_sql(look_up: bool) -> String {
    let mut params = Placeholders::default();
    let rows = event_rows(&mut params);
    let insert_events = insert_events();
    let columns = list(pending_columns());
    let keys = Placeholders::default().list(Key::COLUMNS.len());
    let sums = params.list(pending_columns().count() - Key::COLUMNS.len());
    let (from, marks) = (params.one(), params.one());
    let none_stored = match look_up {
        true => {
            let (ids, businesses) = (params.one(), params.one());
            format!(
                "not exists ({})",
                found_among(&format!("{ids}::uuid[]"), &format!("{businesses}::text[]"))
            )
        }
        false => "true".to_owned(),
    };
    format!(
        "with input as not materialized (select * from {rows}), new as (
            select not mlops_has_tombstone({marks}::bigint[]) and {none_stored} and (
                not exists (select from ai_metrics where {CLAIMABLE}) or not exists (
                    select from input
                    cross join lateral (
                        select from ai_metrics m
                        where ({CLAIMABLE}) and m.business_id = input.business_id and m.session_id = input.session_id
                          and m.created_at > {from}
                        limit 1) claimable)) as all_new
        ), stored as (
            {insert_events} from input where (select all_new from new) returning id
        ), undigested as (
            insert into mlops_undigested (event_rows) select array_agg(cast(id as bigint)) from stored
            having count(*) > 0
        ), pending as (
            insert into ai_rollup_pending ({columns}) select {keys}, {sums} where (select all_new from new)
            returning seq
        ) select seq from pending"
    )
}

/// Returns a from clause that joins the distinct matching values of `input`, as `i`, with the foreign rows created
/// after `from` that have them, as `m`. The rows are locked.
pub(super) fn from_claimable(from: &str) -> String {
    format!(
        "(select distinct business_id, session_id, response_time_ms, tokens_used from input) i
        cross join lateral (
            select m.id, m.event_id from ai_metrics m
            where ({CLAIMABLE}) and m.created_at > {from} and m.business_id = i.business_id
              and m.session_id = i.session_id and m.response_time_ms = i.response_time_ms and m.tokens_used = i.tokens_used
            for update) m"
    )
}

/// Stores the events with their rollup. Returns `None`, and stores nothing, unless all are new, claim no foreign row, and no tombstone
/// has one of the `marks`.
pub(super) async fn store_all_new(
    conn: &mut PgConnection,
    events: &[Event],
    again: bool,
    profiles: &Profiles,
    marks: &[i64],
) -> Result<Option<Written>, sqlx::Error> {
    let parts = tls_record::parts(events);
    let stored = match parts[..] {
        [all] => store_new(conn, all, again, profiles, marks).await?,
        _ => store_new_in_parts(conn, &parts, again, profiles, marks).await?,
    };
    Ok(stored.map(|counted| Written { outcomes: vec![WriteOutcome::Counted; events.len()], counted }))
}

/// Stores events with several statements in one transaction. Returns `None`, and stores nothing, unless all are new.
async fn store_new_in_parts(
    conn: &mut PgConnection,
    parts: &[&[Event]],
    again: bool,
    profiles: &Profiles,
    marks: &[i64],
) -> Result<Option<CountedRollup>, sqlx::Error> {
    let mut counted = CountedRollup::default();
    let mut tx = conn.begin().await?;
    for part in parts {
        let Some(stored) = store_new(&mut tx, part, again, profiles, marks).await? else { return Ok(None) };
        counted.add(stored);
    }
    tx.commit().await?;
    Ok(Some(counted))
}

/// Stores events with one statement. Returns `None`, and stores nothing, unless all are new.
async fn store_new(
    conn: &mut PgConnection,
    events: &[Event],
    again: bool,
    profiles: &Profiles,
    marks: &[i64],
) -> Result<Option<CountedRollup>, sqlx::Error> {
    let rollup = Rollup::of(events, profiles);
    let columns = Columns::of(&rollup);
    let known: Vec<&Event> = events.iter().filter(|event| again || event.named).collect();
    let store: &'static str = if known.is_empty() { &STORE_GENERATED } else { &STORE_UNLESS_STORED };
    let query = columns.bind_sums(bind_events(sqlx::query(store), &columns, events, profiles));
    let mut query = columns.bind_latency(query).bind(claimable_from(events)).bind(marks);
    if !known.is_empty() {
        query = query.bind(column(known.iter().copied(), |event| event.id));
        query = query.bind(column(known, |event| event.business_id.as_str()));
    }
    let Some(pending) = query.fetch_optional(conn).await? else { return Ok(None) };
    let pending = vec![pending.try_get(0)?];
    Ok(Some(CountedRollup { rollup, pending }))
}
