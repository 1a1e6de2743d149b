//! The batch on Postgres: one prepared statement, hence one round trip and one commit.

use std::collections::HashSet;

use chrono_tz::Tz;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{Connection, PgConnection, Postgres, Row};

use super::{Outcome, Written, claimable_from, reconcile};
use crate::event::Event;
use crate::rollup::{Rollup, day_of, key_of};
use crate::store::rollups::pending::{Columns, CountedRollup, pending_columns};

/// The events of [`bind_events`], as rows. Their keys come once each, and an event names its own by `key`.
macro_rules! event_rows {
    () => {
        "(select input.*, ($1::text[])[key] as business_id, ($2::text[])[key] as model_name,
                ($3::text[])[key] as intent_detected, ($4::text[])[key] as response_type
            from unnest($5::int[], $6::uuid[], $7::text[], $8::text[], $9::int[], $10::int[], $11::int[], $12::int[],
                $13::int[], $14::bigint[], $15::bool[], $16::bool[], $17::bool[], $18::int[], $19::int[],
                $20::timestamp[]) as input(key, event_id, conversation_id, session_id, response_time_ms, success_e4,
                tokens_used, prompt_tokens, completion_tokens, cost_micros, appointment_requested, appointment_booked,
                human_handoff_requested, user_message_length, ai_response_length, at)) input"
    };
}
pub(super) use event_rows;

/// The head of an insert of events, and of the select that feeds it.
macro_rules! insert_events {
    () => {
        "insert into ai_metrics (event_id, business_id, conversation_id, session_id, response_time_ms, success_rate,
            tokens_used, prompt_tokens, completion_tokens, api_cost_usd, model_name, intent_detected, response_type,
            appointment_requested, appointment_booked, human_handoff_requested, user_message_length,
            ai_response_length, created_at)
        select event_id, business_id, conversation_id, session_id, response_time_ms, success_e4 * 0.0001,
            tokens_used, prompt_tokens, completion_tokens, cost_micros * 0.000001, model_name, intent_detected,
            response_type, appointment_requested, appointment_booked, human_handoff_requested, user_message_length,
            ai_response_length, at"
    };
}
pub(super) use insert_events;

/// Binds events and their keys, in the order of [`event_rows!`].
pub(super) fn bind_events<'e>(
    query: Query<'e, Postgres, PgArguments>,
    columns: &Columns<'e>,
    events: &'e [Event],
    zone: Tz,
) -> Query<'e, Postgres, PgArguments> {
    macro_rules! column {
        (|$event:ident| $value:expr) => {
            events.iter().map(|$event| $value).collect::<Vec<_>>()
        };
    }
    columns
        .bind_keys(query)
        .bind(column!(|e| columns.place_of(day_of(e.at, zone), e)))
        .bind(column!(|e| e.id))
        .bind(column!(|e| e.conversation_id.as_deref()))
        .bind(column!(|e| e.session_id.as_str()))
        .bind(column!(|e| e.response_time_ms))
        .bind(column!(|e| e.success_e4()))
        .bind(column!(|e| e.tokens_used))
        .bind(column!(|e| e.prompt_tokens))
        .bind(column!(|e| e.completion_tokens))
        .bind(column!(|e| e.cost_micros))
        .bind(column!(|e| e.appointment_requested))
        .bind(column!(|e| e.appointment_booked))
        .bind(column!(|e| e.human_handoff_requested))
        .bind(column!(|e| e.user_message_length))
        .bind(column!(|e| e.ai_response_length))
        .bind(column!(|e| e.at.naive_utc()))
}

/// Whether a row is one that another program inserted and that an event may claim: the condition of the index of such rows.
macro_rules! claimable {
    () => {
        "event_id is null or event_id between '00000000-0000-8000-8000-000000000000' and '00000000-0000-8000-8000-ffffffffffff'"
    };
}
pub(super) use claimable;

/// What joins the rows `m` that events of `input` may claim, locked, from the time in parameter `$from` on, to what they have
/// in common with the events, `i`.
macro_rules! from_claimable {
    ($from:literal) => {
        concat!(
            "(select distinct business_id, session_id, response_time_ms, tokens_used from input) i
            cross join lateral (
                select m.id, m.event_id from ai_metrics m
                where (",
            $crate::store::events::postgres::claimable!(),
            ") and m.created_at > ",
            $from,
            " and m.business_id = i.business_id and m.session_id = i.session_id
                  and m.response_time_ms = i.response_time_ms and m.tokens_used = i.tokens_used
                for update) m"
        )
    };
}
pub(super) use from_claimable;

/// The statement that stores events of which none is stored yet, in whatever form, with their rollup; or finds that one may
/// be, and does nothing. `$look_up` says whether ids are to be looked up: a condition that is true where none is stored.
/// Most installations have no claimable row at all, which is soon seen. An id that another session is about to store makes
/// it fail by the unique index.
macro_rules! store_new {
    ($look_up:literal) => {
        concat!(
            "with input as not materialized (select * from ",
            event_rows!(),
            "), new as (
                select ",
            $look_up,
            " and (
                   not exists (select from ai_metrics where ",
            claimable!(),
            ") or not exists (
                       select from input
                       cross join lateral (
                           select from ai_metrics m
                           where (",
            claimable!(),
            ") and m.business_id = input.business_id and m.session_id = input.session_id and m.created_at > $43
                           limit 1) claimable)) as all_new
            ), stored as (",
            insert_events!(),
            " from input where (select all_new from new)
            ), pending as (
                insert into ai_rollup_pending (",
            pending_columns!(),
            ") select $1, $2, $3, $4, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37,
                    $38, $39, $40, $41, $42
                where (select all_new from new)
                returning seq
            ) select seq from pending"
        )
    };
}

/// Stores events whose ids were just made, so that nobody else can have them.
const STORE_MADE: &str = store_new!("true");

/// Stores events of which some have ids that callers chose, or were sent before. Those of events that are counted without
/// their rows are looked up too.
const STORE_UNLESS_STORED: &str = store_new!(
    "not exists (select from ai_metrics where event_id = any($44))
     and not exists (select from mlops_counted_events where event_id = any($44))"
);

/// The most bytes of a statement that fits into one TLS record. The last of several is held back by Nagle's algorithm, which
/// sqlx 0.9 leaves on, until the server's kernel acknowledges the one before, 40 ms later.
const SMALL_BYTES: usize = 15_500;

/// What a statement takes beside events and keys, in bytes.
const HEAD_BYTES: usize = 1_200;

/// What an event takes in a statement beside its texts, in bytes, its part in a latency among them.
const EVENT_BYTES: usize = 155;

/// What a key takes in a statement beside its texts, in bytes.
const KEY_BYTES: usize = 215;

/// Writes the events; see [`crate::store::Store::write`].
pub(super) async fn write(
    conn: &mut PgConnection,
    events: &[Event],
    again: bool,
    zone: Tz,
) -> Result<Written, sqlx::Error> {
    let parts = parts(events);
    let stored = match parts[..] {
        [all] => store_new(conn, all, again, zone).await?,
        _ => store_new_in_parts(conn, &parts, again, zone).await?,
    };
    match stored {
        Some(counted) => Ok(Written { outcomes: vec![Outcome::Counted; events.len()], counted }),
        None => reconcile::write(conn, events, zone).await,
    }
}

/// Stores events with several statements, in one transaction.
async fn store_new_in_parts(
    conn: &mut PgConnection,
    parts: &[&[Event]],
    again: bool,
    zone: Tz,
) -> Result<Option<CountedRollup>, sqlx::Error> {
    let mut counted = CountedRollup::default();
    let mut tx = conn.begin().await?;
    for part in parts {
        let Some(stored) = store_new(&mut tx, part, again, zone).await? else { return Ok(None) };
        counted.add(stored);
    }
    tx.commit().await?;
    Ok(Some(counted))
}

/// Stores events with one statement, if all are new.
async fn store_new(
    conn: &mut PgConnection,
    events: &[Event],
    again: bool,
    zone: Tz,
) -> Result<Option<CountedRollup>, sqlx::Error> {
    let rollup = Rollup::of(events, zone);
    let columns = Columns::of(&rollup);
    let perhaps_stored: Vec<_> = events.iter().filter(|e| again || e.named).map(|e| e.id).collect();
    let store = if perhaps_stored.is_empty() { STORE_MADE } else { STORE_UNLESS_STORED };
    let query = columns.bind_sums(bind_events(sqlx::query(store), &columns, events, zone));
    let mut query = columns.bind_latency(query).bind(claimable_from(events));
    if !perhaps_stored.is_empty() {
        query = query.bind(perhaps_stored);
    }
    let Some(pending) = query.fetch_optional(conn).await? else { return Ok(None) };
    let pending = vec![pending.try_get(0)?];
    Ok(Some(CountedRollup { rollup, pending }))
}

/// The events of each statement: as many as fit into a small one.
fn parts(events: &[Event]) -> Vec<&[Event]> {
    // Few fit whatever keys they have in common.
    if HEAD_BYTES + events.iter().map(|e| own_bytes(e) + key_bytes(e)).sum::<usize>() <= SMALL_BYTES {
        return vec![events];
    }
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut bytes, mut keys) = (HEAD_BYTES, HashSet::new());
    for (number, event) in events.iter().enumerate() {
        bytes += bytes_of(event, &mut keys);
        if bytes > SMALL_BYTES && number > start {
            parts.push(&events[start..number]);
            start = number;
            keys.clear();
            bytes = HEAD_BYTES + bytes_of(event, &mut keys);
        }
    }
    parts.push(&events[start..]);
    parts
}

/// What an event adds to a statement that has these keys, in bytes.
fn bytes_of<'e>(event: &'e Event, keys: &mut HashSet<[&'e str; 4]>) -> usize {
    own_bytes(event) + if keys.insert(key_of(event)) { key_bytes(event) } else { 0 }
}

fn own_bytes(event: &Event) -> usize {
    EVENT_BYTES + event.session_id.len() + event.conversation_id.as_ref().map_or(0, String::len)
}

fn key_bytes(event: &Event) -> usize {
    KEY_BYTES + key_of(event).map(str::len).iter().sum::<usize>()
}
