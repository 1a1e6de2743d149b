-- What readers read. Nothing is ever pending here: a batch updates the rollup tables themselves.

create view ai_rollup_daily_now as
select
    day, business_id, model_name, intent_detected, response_type, events, response_time_ms, within_100ms,
    within_500ms, within_1s, within_2s, within_5s, within_10s, success_e4, tokens, prompt_tokens,
    completion_tokens, cost_micros, appointments_requested, appointments_booked, handoffs
from ai_rollup_daily;

create view ai_totals_now as
select
    business_id, model_name, intent_detected, response_type, events, response_time_ms, within_100ms,
    within_500ms, within_1s, within_2s, within_5s, within_10s, success_e4, tokens, prompt_tokens,
    completion_tokens, cost_micros, appointments_requested, appointments_booked, handoffs, last_success_at,
    last_success_rate
from ai_totals;

create view ai_latency_daily_now as
select day, business_id, bucket, events
from ai_latency_daily;
