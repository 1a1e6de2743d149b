-- 10,000 series of the AI families: 500 businesses with 9 kinds of answer, 2 x 3 sums by model, and 5 more each.
insert into ai_totals (business_id, model_name, intent_detected, response_type, events, response_time_ms, within_100ms,
    within_500ms, within_1s, within_2s, within_5s, within_10s, success_e4, tokens, prompt_tokens, completion_tokens,
    cost_micros, appointments_requested, appointments_booked, handoffs, last_success_at, last_success_rate)
select 'business-' || business, 'model-' || model, 'intent-' || intent, 'type-' || type, 1000 + business, 1234567, 100,
    200, 300, 200, 100, 50, 9500000, 400000 + model, 300000, 100000, 123456, 20, 10, 5,
    1700000000000000, 0.95
from generate_series(1, 500) business, generate_series(1, 3) model, generate_series(1, 3) intent,
    generate_series(1, 3) type;
vacuum analyze ai_totals;
