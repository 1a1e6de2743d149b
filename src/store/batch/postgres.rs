//! The batch on Postgres: one constant, prepared statement, hence one round trip and one commit.

use std::collections::HashMap;

use chrono_tz::Tz;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Written, claimable_from};
use crate::event::Event;
use crate::rollup::{day_of, histogram_bucket, latency_bucket};
use crate::store::rollups::{add_to_daily, add_to_latency, add_to_totals, sum_columns};

/// Sums over the group of `fresh` events, under the names that `sum_columns!` lists.
macro_rules! sums {
    () => {
        "count(*) as events, sum(response_time_ms) as response_time_ms,
         count(*) filter (where histogram = 0) as within_100ms, count(*) filter (where histogram = 1) as within_500ms,
         count(*) filter (where histogram = 2) as within_1s, count(*) filter (where histogram = 3) as within_2s,
         count(*) filter (where histogram = 4) as within_5s, count(*) filter (where histogram = 5) as within_10s,
         sum(success_e4) as success_e4, sum(tokens_used) as tokens,
         coalesce(sum(prompt_tokens), 0) as prompt_tokens,
         coalesce(sum(completion_tokens), 0) as completion_tokens, sum(cost_micros) as cost_micros,
         count(*) filter (where appointment_requested) as appointments_requested,
         count(*) filter (where appointment_booked) as appointments_booked,
         count(*) filter (where human_handoff_requested) as handoffs"
    };
}

/// `waiting` are foreign rows that may be one of these events: each is looked up by the index of such rows, and its lock
/// makes it be looked at again as it is after another replica claimed or counted it. `novel` are the events for which
/// there is such a row and which are not stored yet, `paired` gives each row to one of them. What is not paired is
/// inserted, unless it is stored. `fresh` are the events that no rollup holds yet. `grouped` are their sums by key, in the
/// order of the keys, so that two replicas do not wait for each other in a circle: events come sorted by key, and `key`
/// numbers the keys.
const WRITE: &str = concat!(
    "with input as (
        select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::int[], $6::int[], $7::float8[],
            $8::int[], $9::int[], $10::int[], $11::bigint[], $12::text[], $13::text[], $14::text[], $15::bool[],
            $16::bool[], $17::bool[], $18::int[], $19::int[], $20::timestamp[], $21::smallint[],
            $22::smallint[], $23::smallint[])
        with ordinality as input(event_id, business_id, conversation_id, session_id, response_time_ms, success_e4,
            success_rate, tokens_used, prompt_tokens, completion_tokens, cost_micros, model_name, intent_detected,
            response_type, appointment_requested, appointment_booked, human_handoff_requested, user_message_length,
            ai_response_length, at, key, histogram, latency, n)
    ), waiting as (
        select i.*, m.id, m.event_id
        from (select distinct business_id, session_id, response_time_ms, tokens_used from input) i
        cross join lateral (
            select m.id, m.event_id from ai_metrics m
            where (m.event_id is null or m.event_id between '00000000-0000-8000-8000-000000000000'
                                                        and '00000000-0000-8000-8000-ffffffffffff')
              and m.created_at > $24 and m.business_id = i.business_id and m.session_id = i.session_id
              and m.response_time_ms = i.response_time_ms and m.tokens_used = i.tokens_used
            for update) m
    ), novel as (
        select * from input i
        where exists (select from waiting w where w.business_id = i.business_id and w.session_id = i.session_id
                      and w.response_time_ms = i.response_time_ms and w.tokens_used = i.tokens_used)
          and not exists (select from ai_metrics m where m.event_id = i.event_id)
    ), paired as (
        select n.event_id, w.id, w.event_id is not null as counted
        from (select *, row_number() over (partition by business_id, session_id, response_time_ms, tokens_used
                                           order by n) as turn from novel) n
        join (select *, row_number() over (partition by business_id, session_id, response_time_ms, tokens_used
                                           order by id) as turn from waiting) w
        using (business_id, session_id, response_time_ms, tokens_used, turn)
    ), claimed as (
        update ai_metrics m set event_id = p.event_id from paired p where m.id = p.id
        returning m.event_id, p.counted
    ), inserted as (
        insert into ai_metrics (event_id, business_id, conversation_id, session_id, response_time_ms, success_rate,
            tokens_used, prompt_tokens, completion_tokens, api_cost_usd, model_name, intent_detected, response_type,
            appointment_requested, appointment_booked, human_handoff_requested, user_message_length,
            ai_response_length, created_at)
        select event_id, business_id, conversation_id, session_id, response_time_ms, success_e4 / 10000.0,
            tokens_used, prompt_tokens, completion_tokens, cost_micros / 1000000.0, model_name, intent_detected,
            response_type, appointment_requested, appointment_booked, human_handoff_requested, user_message_length,
            ai_response_length, at
        from input where event_id not in (select event_id from paired)
        on conflict (event_id) do nothing
        returning event_id
    ), outcome as (
        select event_id, false as counted from inserted union all select event_id, counted from claimed
    ), fresh as (
        select * from input where (event_id in (select event_id from outcome where not counted)) is true
    ), grouped as (
        select min(business_id) as business_id, min(model_name) as model_name,
            min(intent_detected) as intent_detected, min(response_type) as response_type,
            max(array[extract(epoch from at)::float8 * 1000000, n, success_rate])
                filter (where success_rate is not null) as last_success, ",
    sums!(),
    " from fresh group by key order by key
    ), daily as (
        insert into ai_rollup_daily (business_id, day, model_name, intent_detected, response_type, ",
    sum_columns!(),
    ") select business_id, $25, model_name, intent_detected, response_type, ",
    sum_columns!(),
    " from grouped",
    add_to_daily!(),
    "), totals as (
        insert into ai_totals (business_id, model_name, intent_detected, response_type, ",
    sum_columns!(),
    ", last_success_at, last_success_rate) select business_id, model_name, intent_detected, response_type, ",
    sum_columns!(),
    ", cast(last_success[1] as bigint), last_success[3] from grouped",
    add_to_totals!(),
    "), latency as (
        insert into ai_latency_daily (business_id, day, bucket, events)
        select business_id, $25, latency, count(*) from fresh group by business_id, latency
        order by business_id, latency",
    add_to_latency!(),
    ") select event_id, counted from outcome"
);

/// The most bytes of events in one statement. It then fits, with its head, into one TLS record: the second of two is held
/// back by Nagle's algorithm, which sqlx 0.9 leaves on, until the server's kernel acknowledges the first, 40 ms later.
const MAX_STATEMENT_BYTES: usize = 15_000;

/// What an event takes in a statement beside its texts, in bytes.
const FIXED_BYTES: usize = 180;

/// How many of `events`, from the first on, one statement takes: events of one day, and not too many.
pub(super) fn fits<'e>(mut events: impl Iterator<Item = &'e Event>, zone: Tz) -> usize {
    let Some(first) = events.next() else { return 0 };
    let day = day_of(first.at, zone);
    let mut bytes = bytes_of(first);
    let others = events.take_while(|event| {
        bytes += bytes_of(event);
        bytes <= MAX_STATEMENT_BYTES && day_of(event.at, zone) == day
    });
    1 + others.count()
}

fn bytes_of(event: &Event) -> usize {
    let texts = [
        &event.business_id,
        &event.session_id,
        &event.model_name,
        &event.intent_detected,
        &event.response_type,
    ];
    let texts: usize = texts.iter().map(|text| text.len()).sum();
    FIXED_BYTES + texts + event.conversation_id.as_ref().map_or(0, String::len)
}

/// Writes events of one day; see [`crate::store::Store::write`].
pub(super) async fn write(
    conn: &mut PgConnection,
    events: &[Event],
    zone: Tz,
) -> Result<Vec<Written>, sqlx::Error> {
    let mut sorted: Vec<&Event> = events.iter().collect();
    sorted.sort_by(|a, b| key(a).cmp(&key(b)));
    macro_rules! column {
        (|$event:ident| $value:expr) => {
            sorted.iter().map(|$event| $value).collect::<Vec<_>>()
        };
    }
    #[expect(clippy::cast_possible_wrap, clippy::cast_possible_truncation, reason = "there are six buckets")]
    let histogram = column!(|e| histogram_bucket(e.response_time_ms) as i16);
    let outcome: Vec<(Uuid, bool)> = sqlx::query_as(WRITE)
        .bind(column!(|e| e.id))
        .bind(column!(|e| e.business_id.as_str()))
        .bind(column!(|e| e.conversation_id.as_deref()))
        .bind(column!(|e| e.session_id.as_str()))
        .bind(column!(|e| e.response_time_ms))
        .bind(column!(|e| e.success_e4()))
        .bind(column!(|e| e.success_rate))
        .bind(column!(|e| e.tokens_used))
        .bind(column!(|e| e.prompt_tokens))
        .bind(column!(|e| e.completion_tokens))
        .bind(column!(|e| e.cost_micros))
        .bind(column!(|e| e.model_name.as_str()))
        .bind(column!(|e| e.intent_detected.as_str()))
        .bind(column!(|e| e.response_type.as_str()))
        .bind(column!(|e| e.appointment_requested))
        .bind(column!(|e| e.appointment_booked))
        .bind(column!(|e| e.human_handoff_requested))
        .bind(column!(|e| e.user_message_length))
        .bind(column!(|e| e.ai_response_length))
        .bind(column!(|e| e.at.naive_utc()))
        .bind(key_numbers(&sorted))
        .bind(histogram)
        .bind(column!(|e| latency_bucket(e.response_time_ms)))
        .bind(claimable_from(events))
        .bind(events.first().map(|event| day_of(event.at, zone)))
        .fetch_all(conn)
        .await?;
    let outcome: HashMap<Uuid, bool> = outcome.into_iter().collect();
    Ok(events.iter().map(|event| written(outcome.get(&event.id))).collect())
}

/// What an event is added up by, borrowed.
fn key(event: &Event) -> [&str; 4] {
    [&event.business_id, &event.model_name, &event.intent_detected, &event.response_type]
}

/// For each of the events, which are sorted by key, the number of its key.
fn key_numbers(sorted: &[&Event]) -> Vec<i16> {
    let groups = sorted.chunk_by(|a, b| key(a) == key(b)).zip(0..);
    groups.flat_map(|(group, number)| std::iter::repeat_n(number, group.len())).collect()
}

const fn written(counted_before: Option<&bool>) -> Written {
    match counted_before {
        Some(false) => Written::Counted,
        Some(true) => Written::Claimed,
        None => Written::Duplicate,
    }
}
