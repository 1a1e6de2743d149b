-- What events also bring. Rows that are there, and those that the receptionist app inserts, need none of it.
alter table ai_metrics add column tokens_estimated boolean default false;
alter table ai_metrics add column cached_tokens integer;
alter table ai_metrics add column reasoning_tokens integer;
alter table ai_metrics add column handoff_reason text;
alter table ai_metrics add column user_satisfaction real;
