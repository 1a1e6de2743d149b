-- :events events, evenly over the last 90 days. However many, they have the same businesses, intents and types; a business
-- has one model. A conversation has six answers.
set synchronous_commit = off;
set timezone = 'UTC';

-- Indexes are dropped and built anew afterwards, which takes a fraction of the time.
create temp table dropped as
select indexname, indexdef from pg_indexes where tablename = 'ai_metrics' and indexname <> 'ai_metrics_pkey';
select format('drop index %I', indexname) from dropped \gexec

insert into ai_metrics (business_id, conversation_id, session_id, response_time_ms, success_rate, tokens_used,
    prompt_tokens, completion_tokens, api_cost_usd, model_name, intent_detected, appointment_requested,
    human_handoff_requested, appointment_booked, user_message_length, ai_response_length, response_type, created_at)
select 'business-' || n % 20, 'conv-' || n % 20 || '-' || n / 120, 'session-' || n,
    least(9000, 150 - 1500 * ln(1 - random()))::int, 0.95, 400, 300, 100, 0.000412,
    (array['gemini-1.5-flash', 'gemini-1.5-pro', 'gpt-4o-mini'])[1 + n % 20 % 3],
    (array['appointment_booking', 'business_hours', 'pricing', 'complaint', 'greeting'])[1 + n / 20 % 5],
    n % 2 = 0, n % 50 = 0, n % 4 = 0, 80, 250, (array['text', 'appointment', 'error'])[1 + n / 100 % 3],
    now() - interval '90 days' * (1 - n::float8 / :events)
from generate_series(1, :events) n;

select indexdef from dropped \gexec
vacuum analyze ai_metrics;
