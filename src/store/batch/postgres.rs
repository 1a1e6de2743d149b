//! The batch on Postgres: one constant, prepared statement, hence one round trip and one commit.

use std::collections::HashMap;

use chrono_tz::Tz;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Written, claimable_from};
use crate::event::Event;
use crate::rollup::{day_of, histogram_bucket, latency_bucket};
use crate::store::rollups::{add_to_daily, add_to_latency, add_to_totals, sum_columns};

/// Sums over the group of `fresh` events, in the order of `sum_columns!`.
macro_rules! sums {
    () => {
        "count(*), sum(response_time_ms),
         count(*) filter (where histogram = 0), count(*) filter (where histogram = 1),
         count(*) filter (where histogram = 2), count(*) filter (where histogram = 3),
         count(*) filter (where histogram = 4), count(*) filter (where histogram = 5),
         sum(success_e4), sum(tokens_used), coalesce(sum(prompt_tokens), 0),
         coalesce(sum(completion_tokens), 0), sum(cost_micros),
         count(*) filter (where appointment_requested), count(*) filter (where appointment_booked),
         count(*) filter (where human_handoff_requested)"
    };
}

/// `novel` are the events that are not stored yet. `waiting` are foreign rows that may be one of them; the lock makes
/// them be looked at again as they are after another replica claimed or counted them. `paired` gives each such row to
/// one event. What could not be claimed is inserted. `fresh` are the events that no rollup holds yet: groups are
/// inserted in the order of their keys, so that two replicas do not wait for each other in a circle.
const WRITE: &str = concat!(
    "with input as (
        select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::int[], $6::int[], $7::float8[],
            $8::int[], $9::int[], $10::int[], $11::bigint[], $12::text[], $13::text[], $14::text[], $15::bool[],
            $16::bool[], $17::bool[], $18::int[], $19::int[], $20::timestamp[], $21::date[], $22::int[],
            $23::smallint[])
        with ordinality as input(event_id, business_id, conversation_id, session_id, response_time_ms, success_e4,
            success_rate, tokens_used, prompt_tokens, completion_tokens, cost_micros, model_name, intent_detected,
            response_type, appointment_requested, appointment_booked, human_handoff_requested, user_message_length,
            ai_response_length, at, day, histogram, latency, n)
    ), novel as (
        select * from input i where not exists (select from ai_metrics m where m.event_id = i.event_id)
    ), waiting as (
        select m.id, m.event_id, m.business_id, m.session_id, m.response_time_ms, m.tokens_used
        from ai_metrics m
        where (m.event_id is null or m.event_id between '00000000-0000-8000-8000-000000000000'
                                                    and '00000000-0000-8000-8000-ffffffffffff')
          and m.created_at > $24
          and exists (select from novel n where n.business_id = m.business_id and n.session_id = m.session_id
                      and n.response_time_ms = m.response_time_ms and n.tokens_used = m.tokens_used)
        for update of m
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
        from novel where event_id not in (select event_id from paired)
        on conflict (event_id) do nothing
        returning event_id
    ), outcome as (
        select event_id, false as counted from inserted union all select event_id, counted from claimed
    ), fresh as (
        select * from input where event_id in (select event_id from outcome where not counted)
    ), daily as (
        insert into ai_rollup_daily (business_id, day, model_name, intent_detected, response_type, ",
    sum_columns!(),
    ") select business_id, day, model_name, intent_detected, response_type, ",
    sums!(),
    " from fresh group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4, 5",
    add_to_daily!(),
    "), totals as (
        insert into ai_totals (business_id, model_name, intent_detected, response_type, ",
    sum_columns!(),
    ", last_success_at, last_success_rate) select business_id, model_name, intent_detected, response_type, ",
    sums!(),
    ", cast(extract(epoch from max(at) filter (where success_rate is not null)) * 1000000 as bigint),
         (array_agg(success_rate order by at desc, n desc) filter (where success_rate is not null))[1]
         from fresh group by 1, 2, 3, 4 order by 1, 2, 3, 4",
    add_to_totals!(),
    "), latency as (
        insert into ai_latency_daily (business_id, day, bucket, events)
        select business_id, day, latency, count(*) from fresh group by 1, 2, 3 order by 1, 2, 3",
    add_to_latency!(),
    ") select event_id, counted from outcome"
);

/// Writes the batch; see [`crate::store::Store::write`].
pub(super) async fn write(
    conn: &mut PgConnection,
    events: &[Event],
    zone: Tz,
) -> Result<Vec<Written>, sqlx::Error> {
    macro_rules! column {
        (|$event:ident| $value:expr) => {
            events.iter().map(|$event| $value).collect::<Vec<_>>()
        };
    }
    #[expect(clippy::cast_possible_wrap, clippy::cast_possible_truncation, reason = "there are six buckets")]
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
        .bind(column!(|e| day_of(e.at, zone)))
        .bind(column!(|e| histogram_bucket(e.response_time_ms) as i32))
        .bind(column!(|e| latency_bucket(e.response_time_ms)))
        .bind(claimable_from(events))
        .fetch_all(conn)
        .await?;
    let outcome: HashMap<Uuid, bool> = outcome.into_iter().collect();
    Ok(events.iter().map(|event| written(outcome.get(&event.id))).collect())
}

const fn written(counted_before: Option<&bool>) -> Written {
    match counted_before {
        Some(false) => Written::Counted,
        Some(true) => Written::Claimed,
        None => Written::Duplicate,
    }
}
