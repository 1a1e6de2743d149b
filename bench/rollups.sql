-- The rollups that the service would have written for the events in the table; their ids mark these as counted.
set synchronous_commit = off;
set timezone = 'UTC';

insert into ai_rollup_daily
select created_at::date, business_id, model_name, intent_detected, response_type, count(*), sum(response_time_ms),
    count(*) filter (where response_time_ms <= 100),
    count(*) filter (where response_time_ms > 100 and response_time_ms <= 500),
    count(*) filter (where response_time_ms > 500 and response_time_ms <= 1000),
    count(*) filter (where response_time_ms > 1000 and response_time_ms <= 2000),
    count(*) filter (where response_time_ms > 2000 and response_time_ms <= 5000),
    count(*) filter (where response_time_ms > 5000 and response_time_ms <= 10000),
    sum(success_rate * 10000), sum(tokens_used), sum(prompt_tokens), sum(completion_tokens),
    sum(api_cost_usd * 1000000), count(*) filter (where appointment_requested),
    count(*) filter (where appointment_booked), count(*) filter (where human_handoff_requested)
from ai_metrics group by 1, 2, 3, 4, 5;

insert into ai_totals (business_id, model_name, intent_detected, response_type, events, response_time_ms, within_100ms,
    within_500ms, within_1s, within_2s, within_5s, within_10s, success_e4, tokens, prompt_tokens, completion_tokens,
    cost_micros, appointments_requested, appointments_booked, handoffs, last_success_at, last_success_rate)
select business_id, model_name, intent_detected, response_type, sum(events), sum(response_time_ms), sum(within_100ms),
    sum(within_500ms), sum(within_1s), sum(within_2s), sum(within_5s), sum(within_10s), sum(success_e4), sum(tokens),
    sum(prompt_tokens), sum(completion_tokens), sum(cost_micros), sum(appointments_requested),
    sum(appointments_booked), sum(handoffs), extract(epoch from max(day)) * 1000000, 0.95
from ai_rollup_daily group by 1, 2, 3, 4;

-- The same logarithmic buckets as in src/rollup.rs.
insert into ai_latency_daily
select created_at::date, business_id, ceil(ln(response_time_ms::float8) / ln(1.01::float8 / 0.99::float8)), count(*)
from ai_metrics group by 1, 2, 3;

vacuum analyze ai_rollup_daily, ai_totals, ai_latency_daily;
