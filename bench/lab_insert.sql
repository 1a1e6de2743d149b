-- The lab's insert of one event, for pgbench: the same values as in track.lua.
\set business random(1, 20)
\set conversation random(1, 9007199254740991)
\set session random(1, 9007199254740991)
\set ms random_exponential(150, 9000, 6)
\set prompt random(50, 900)
\set completion random(10, 400)
\set model :business % 3 + 1
\set intent random(1, 5)
\set type random(1, 3)
\set requested random(0, 1)
\set length random(5, 300)
insert into ai_metrics (business_id, conversation_id, session_id, response_time_ms, success_rate, tokens_used,
    prompt_tokens, completion_tokens, api_cost_usd, model_name, intent_detected, appointment_requested,
    human_handoff_requested, appointment_booked, user_message_length, ai_response_length, response_type)
values ('business-' || :business, 'conv-' || :conversation, 'session-' || :session, :ms, 0.95,
    :prompt::int + :completion::int, :prompt, :completion, 0.000412,
    (array['gemini-1.5-flash', 'gemini-1.5-pro', 'gpt-4o-mini'])[:model],
    (array['appointment_booking', 'business_hours', 'pricing', 'complaint', 'greeting'])[:intent],
    :requested = 1, false, false, :length, :length, (array['text', 'appointment', 'error'])[:type]);
