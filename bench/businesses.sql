-- 1,000 businesses with answers and conversations on each of the last 30 days.
insert into ai_rollup_daily (day, business_id, model_name, intent_detected, response_type, events, response_time_ms,
    within_100ms, within_500ms, within_1s, within_2s, within_5s, within_10s, success_e4, tokens, prompt_tokens,
    completion_tokens, cost_micros, appointments_requested, appointments_booked, handoffs)
select current_date - day, 'business-' || business, 'gemini-1.5-flash', 'intent-' || intent, 'text', 100, 123456, 10,
    20, 30, 20, 10, 5, 950000, 40000, 30000, 10000, 12345, 20, 10, 5
from generate_series(1, 1000) business, generate_series(0, 29) day, generate_series(1, 3) intent;

insert into ai_totals (business_id, model_name, intent_detected, response_type, events, response_time_ms, within_100ms,
    within_500ms, within_1s, within_2s, within_5s, within_10s, success_e4, tokens, prompt_tokens, completion_tokens,
    cost_micros, appointments_requested, appointments_booked, handoffs)
select business_id, model_name, intent_detected, response_type, sum(events), sum(response_time_ms), sum(within_100ms),
    sum(within_500ms), sum(within_1s), sum(within_2s), sum(within_5s), sum(within_10s), sum(success_e4), sum(tokens),
    sum(prompt_tokens), sum(completion_tokens), sum(cost_micros), sum(appointments_requested),
    sum(appointments_booked), sum(handoffs)
from ai_rollup_daily group by 1, 2, 3, 4;

insert into ai_latency_daily
select current_date - day, 'business-' || business, 200 + bucket, 3
from generate_series(1, 1000) business, generate_series(0, 29) day, generate_series(1, 100) bucket;

insert into mlops_conversation_daily (business_id, day, conversations, conversation_answers, requested, claimed, booked,
    claimed_not_booked, in_book_not_claimed, booked_not_claimed, kept, cancelled, no_show, dropped, handoffs, contained,
    with_hours, after_hours, value_booked_micros, value_kept_micros, answers, answers_without_conversation)
select 'business-' || business, current_date - day, business % 100, 300, 20, 10, 10, 2, 1, 1, 8, 1, 1, 5, 3, 40, 50, 10,
    0, 0, 300, 0
from generate_series(1, 1000) business, generate_series(0, 29) day;
vacuum analyze;
