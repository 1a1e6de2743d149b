-- The table of the lab with its four indexes, as the users of the receptionist app have it.
create table ai_metrics (
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

create index idx_ai_metrics_business_id on ai_metrics (business_id);
create index idx_ai_metrics_created_at on ai_metrics (created_at);
create index idx_ai_metrics_conversation_id on ai_metrics (conversation_id);
create index idx_ai_metrics_intent on ai_metrics (intent_detected);
