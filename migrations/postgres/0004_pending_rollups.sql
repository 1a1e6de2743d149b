-- Rollups of batches that the rollup tables do not hold yet. A batch adds one row, in the statement that stores its events,
-- instead of looking up and updating a row of each table for each of its keys; src/store/pending.rs moves them over.
-- The arrays run in parallel, an element for each key; those of the latencies have an element for each day, business and
-- bucket, and latency_key is the place of a key with that day and business.
create table ai_rollup_pending (
    seq bigint generated always as identity primary key,
    day date[] not null,
    business_id text[] not null,
    model_name text[] not null,
    intent_detected text[] not null,
    response_type text[] not null,
    events integer[] not null,
    response_time_ms bigint[] not null,
    within_100ms integer[] not null,
    within_500ms integer[] not null,
    within_1s integer[] not null,
    within_2s integer[] not null,
    within_5s integer[] not null,
    within_10s integer[] not null,
    success_e4 bigint[] not null,
    tokens bigint[] not null,
    prompt_tokens bigint[] not null,
    completion_tokens bigint[] not null,
    cost_micros bigint[] not null,
    appointments_requested integer[] not null,
    appointments_booked integer[] not null,
    handoffs integer[] not null,
    last_success_at bigint[] not null,
    last_success_rate double precision[] not null,
    latency_key integer[] not null,
    latency_bucket smallint[] not null,
    latency_events integer[] not null
) with (toast_tuple_target = 8160, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- The rows of large batches lie beside the table. To compress what is read once and deleted does not pay.
alter table ai_rollup_pending
    alter column day set storage external,
    alter column business_id set storage external,
    alter column model_name set storage external,
    alter column intent_detected set storage external,
    alter column response_type set storage external,
    alter column events set storage external,
    alter column response_time_ms set storage external,
    alter column within_100ms set storage external,
    alter column within_500ms set storage external,
    alter column within_1s set storage external,
    alter column within_2s set storage external,
    alter column within_5s set storage external,
    alter column within_10s set storage external,
    alter column success_e4 set storage external,
    alter column tokens set storage external,
    alter column prompt_tokens set storage external,
    alter column completion_tokens set storage external,
    alter column cost_micros set storage external,
    alter column appointments_requested set storage external,
    alter column appointments_booked set storage external,
    alter column handoffs set storage external,
    alter column last_success_at set storage external,
    alter column last_success_rate set storage external,
    alter column latency_key set storage external,
    alter column latency_bucket set storage external,
    alter column latency_events set storage external;

-- The rollup tables with what is pending: what readers read. `seq > 0` holds for every row; it has them found by the index,
-- which forgets rows that were moved over sooner than the table does.

create view ai_rollup_daily_now as
select
    day, business_id, model_name, intent_detected, response_type, events, response_time_ms, within_100ms,
    within_500ms, within_1s, within_2s, within_5s, within_10s, success_e4, tokens, prompt_tokens,
    completion_tokens, cost_micros, appointments_requested, appointments_booked, handoffs
from ai_rollup_daily
union all
select pending.*
from ai_rollup_pending p, unnest(
    p.day, p.business_id, p.model_name, p.intent_detected, p.response_type, p.events, p.response_time_ms,
    p.within_100ms, p.within_500ms, p.within_1s, p.within_2s, p.within_5s, p.within_10s, p.success_e4,
    p.tokens, p.prompt_tokens, p.completion_tokens, p.cost_micros, p.appointments_requested,
    p.appointments_booked, p.handoffs
) pending
where p.seq > 0;

create view ai_totals_now as
select
    business_id, model_name, intent_detected, response_type, events, response_time_ms, within_100ms,
    within_500ms, within_1s, within_2s, within_5s, within_10s, success_e4, tokens, prompt_tokens,
    completion_tokens, cost_micros, appointments_requested, appointments_booked, handoffs, last_success_at,
    last_success_rate
from ai_totals
union all
select pending.*
from ai_rollup_pending p, unnest(
    p.business_id, p.model_name, p.intent_detected, p.response_type, p.events, p.response_time_ms,
    p.within_100ms, p.within_500ms, p.within_1s, p.within_2s, p.within_5s, p.within_10s, p.success_e4,
    p.tokens, p.prompt_tokens, p.completion_tokens, p.cost_micros, p.appointments_requested,
    p.appointments_booked, p.handoffs, p.last_success_at, p.last_success_rate
) pending
where p.seq > 0;

create view ai_latency_daily_now as
select day, business_id, bucket, events
from ai_latency_daily
union all
select p.day[l.key], p.business_id[l.key], l.bucket, l.events
from ai_rollup_pending p, unnest(p.latency_key, p.latency_bucket, p.latency_events) l (key, bucket, events)
where p.seq > 0;
