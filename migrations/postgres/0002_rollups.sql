-- Sums over events. Rows are updated by every batch, so pages leave room for new versions beside the old ones.

create table ai_rollup_daily (
    day date not null,
    business_id text not null,
    model_name text not null,
    intent_detected text not null,
    response_type text not null,
    events bigint not null,
    response_time_ms bigint not null,
    within_100ms bigint not null,
    within_500ms bigint not null,
    within_1s bigint not null,
    within_2s bigint not null,
    within_5s bigint not null,
    within_10s bigint not null,
    success_e4 bigint not null,
    tokens bigint not null,
    prompt_tokens bigint not null,
    completion_tokens bigint not null,
    cost_micros bigint not null,
    appointments_requested bigint not null,
    appointments_booked bigint not null,
    handoffs bigint not null,
    primary key (business_id, day, model_name, intent_detected, response_type)
) with (fillfactor = 75);

-- The same over all time, with the newest success rate, in the order in which the keys were first seen.
create table ai_totals (
    seq bigint generated always as identity,
    business_id text not null,
    model_name text not null,
    intent_detected text not null,
    response_type text not null,
    events bigint not null,
    response_time_ms bigint not null,
    within_100ms bigint not null,
    within_500ms bigint not null,
    within_1s bigint not null,
    within_2s bigint not null,
    within_5s bigint not null,
    within_10s bigint not null,
    success_e4 bigint not null,
    tokens bigint not null,
    prompt_tokens bigint not null,
    completion_tokens bigint not null,
    cost_micros bigint not null,
    appointments_requested bigint not null,
    appointments_booked bigint not null,
    handoffs bigint not null,
    last_success_at bigint,
    last_success_rate double precision,
    primary key (business_id, model_name, intent_detected, response_type)
) with (fillfactor = 75);

-- Response times in logarithmic buckets of 1 % relative error.
create table ai_latency_daily (
    day date not null,
    business_id text not null,
    bucket smallint not null,
    events bigint not null,
    primary key (business_id, day, bucket)
) with (fillfactor = 75);
