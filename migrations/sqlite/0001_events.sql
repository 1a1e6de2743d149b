-- The table of the receptionist app. Costs and rates are numbers, ids are 16 bytes, times are UTC text.
create table if not exists ai_metrics (
    id integer primary key autoincrement,
    business_id text not null,
    conversation_id text,
    session_id text not null,
    response_time_ms integer not null,
    success_rate real not null,
    tokens_used integer not null,
    prompt_tokens integer,
    completion_tokens integer,
    api_cost_usd real not null,
    model_name text not null,
    intent_detected text not null,
    appointment_requested boolean default false,
    human_handoff_requested boolean default false,
    appointment_booked boolean default false,
    user_message_length integer not null,
    ai_response_length integer not null,
    response_type text not null,
    created_at text default current_timestamp,
    event_id blob -- null marks a row that another program inserted and that no rollup holds yet
);

create unique index ai_metrics_event_id on ai_metrics (event_id);

-- The rows that are still to be counted, and those that POST /track may still claim; see src/store/foreign.rs.
create index ai_metrics_uncounted on ai_metrics (id) where event_id is null;

create index ai_metrics_claimable on ai_metrics (business_id, session_id, created_at)
where event_id is null
   or event_id between x'00000000000080008000000000000000' and x'00000000000080008000ffffffffffff';
