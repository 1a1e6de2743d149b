//! Sample data.

use serde_json::{Value, json};

use super::Backend;

/// Creates the table of events as in the labs: without foreign keys, with four indexes.
pub(crate) const LAB_TABLE: &str = "
    create table ai_metrics (
        id serial primary key, business_id varchar(255) not null, conversation_id varchar(255),
        session_id varchar(255) not null, response_time_ms integer not null, success_rate decimal(5,4) not null,
        tokens_used integer not null, prompt_tokens integer, completion_tokens integer,
        api_cost_usd decimal(10,6) not null, model_name varchar(100) not null, intent_detected varchar(50) not null,
        appointment_requested boolean default false, human_handoff_requested boolean default false,
        appointment_booked boolean default false, user_message_length integer not null,
        ai_response_length integer not null, response_type varchar(50) not null,
        created_at timestamp default current_timestamp);
    create index idx_ai_metrics_business_id on ai_metrics (business_id);
    create index idx_ai_metrics_created_at on ai_metrics (created_at);
    create index idx_ai_metrics_conversation_id on ai_metrics (conversation_id);
    create index idx_ai_metrics_intent on ai_metrics (intent_detected);";

/// Returns an event with all fields, overridden by `changes`.
pub(crate) fn event(changes: Value) -> Value {
    let mut event = json!({
        "business_id": "acme", "conversation_id": "c-1", "session_id": "s-1", "response_time_ms": 150,
        "success_rate": 0.95, "tokens_used": 75, "prompt_tokens": 50, "completion_tokens": 25,
        "api_cost_usd": 0.002, "model_name": "gemini-1.5-flash", "intent_detected": "appointment",
        "response_type": "booking", "appointment_requested": true, "appointment_booked": false,
        "human_handoff_requested": false, "user_message_length": 42, "ai_response_length": 120
    });
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    event.as_object_mut().unwrap().extend(changes);
    event
}

/// Inserts the row that the receptionist app inserts before it reports [`event`], created `minutes` ago.
pub(crate) async fn insert_as_the_app(backend: &Backend, session_id: &str, minutes: i64) {
    let created_at = match backend.is_postgres() {
        true => format!("current_timestamp - interval '{minutes} minutes'"),
        false => format!("datetime('now', '-{minutes} minutes')"),
    };
    let insert = format!(
        "insert into ai_metrics (business_id, conversation_id, session_id, response_time_ms, success_rate, tokens_used,
            api_cost_usd, model_name, intent_detected, appointment_requested, user_message_length, ai_response_length,
            response_type, created_at)
         values ('acme', 'c-1', '{session_id}', 150, 0.95, 75, 0.002, 'gemini-1.5-flash', 'appointment', true, 42, 120,
            'booking', {created_at})"
    );
    backend.execute(&insert).await;
}
