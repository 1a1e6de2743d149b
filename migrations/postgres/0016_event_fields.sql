-- What events also bring. Rows that are there, and those that the receptionist app inserts, need none of it: neither the default of a
-- constant nor null rewrites the table.
alter table ai_metrics
    add column if not exists tokens_estimated boolean default false,
    add column if not exists cached_tokens integer,
    add column if not exists reasoning_tokens integer,
    add column if not exists handoff_reason varchar(50),
    add column if not exists user_satisfaction decimal(5, 4);
