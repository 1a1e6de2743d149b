-- The table of the receptionist app. Where it exists already it keeps its columns, types and rows.
create table if not exists ai_metrics (
    id serial primary key,
    business_id varchar(255) not null,
    conversation_id varchar(255),
    session_id varchar(255) not null,
    response_time_ms integer not null,
    success_rate decimal(5, 4) not null,
    tokens_used integer not null,
    prompt_tokens integer,
    completion_tokens integer,
    api_cost_usd decimal(10, 6) not null,
    model_name varchar(100) not null,
    intent_detected varchar(50) not null,
    appointment_requested boolean default false,
    human_handoff_requested boolean default false,
    appointment_booked boolean default false,
    user_message_length integer not null,
    ai_response_length integer not null,
    response_type varchar(50) not null,
    created_at timestamp default current_timestamp
);

-- Null marks a row that another program inserted and that no rollup holds yet.
alter table ai_metrics add column if not exists event_id uuid;

create unique index ai_metrics_event_id on ai_metrics (event_id);

-- The rows that are still to be counted, and those that POST /track may still claim; see src/store/foreign.rs.
create index ai_metrics_uncounted on ai_metrics (id) where event_id is null;

create index ai_metrics_claimable on ai_metrics (business_id, session_id, created_at)
where event_id is null
   or event_id between '00000000-0000-8000-8000-000000000000' and '00000000-0000-8000-8000-ffffffffffff';
