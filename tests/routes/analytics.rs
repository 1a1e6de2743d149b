//! `GET /analytics/{business_id}`, on both databases.

mod conversations;
mod figures;
mod list;
mod pages;

use std::fmt::Write;

use chrono::NaiveDate;
use serde_json::json;

use crate::harness::{Backend, TestApp, event, on_every_backend};

/// The columns of `mlops_conversation_daily` apart from its key.
const FACTS: [&str; 20] = [
    "conversations",
    "conversation_answers",
    "requested",
    "claimed",
    "booked",
    "claimed_not_booked",
    "in_book_not_claimed",
    "booked_not_claimed",
    "kept",
    "cancelled",
    "no_show",
    "dropped",
    "handoffs",
    "contained",
    "with_hours",
    "after_hours",
    "value_booked_micros",
    "value_kept_micros",
    "answers",
    "answers_without_conversation",
];

/// Removes all sums of facts, of events that were digested before, so that others can be planted.
async fn forget_facts(app: &TestApp, backend: &Backend) {
    app.app.store.digest_all().await.unwrap();
    backend.remove_facts().await;
}

/// Inserts the sums of a day; those that `sums` does not name are 0.
pub(super) async fn plant_facts(backend: &Backend, business_id: &str, day: NaiveDate, sums: &[(&str, i64)]) {
    let value = |column: &str| sums.iter().find(|(name, _)| *name == column).map_or(0, |(_, value)| *value);
    assert!(sums.iter().all(|(name, _)| FACTS.contains(name)), "{sums:?}");
    let mut values = String::new();
    for column in FACTS {
        write!(values, ", {}", value(column)).unwrap();
    }
    let columns = FACTS.join(", ");
    let insert = format!(
        "insert into mlops_conversation_daily (business_id, day, {columns}) values ('{business_id}', '{day}'{values})"
    );
    backend.execute(&insert).await;
}

on_every_backend! {
    the_answer_is_computed_from_what_is_stored,
    a_business_without_events_gets_zeros,
    the_days_can_be_chosen,
}

async fn the_answer_is_computed_from_what_is_stored(backend: Backend) {
    let app = TestApp::open(&backend).await;
    for (ms, tokens, booked, handoff) in
        [(100, 10, true, false), (201, 20, false, true), (300, 31, true, false)]
    {
        let changes = json!({"response_time_ms": ms, "tokens_used": tokens, "appointment_booked": booked,
                             "human_handoff_requested": handoff, "api_cost_usd": 0.015});
        app.track(&event(changes)).await.ok();
    }
    app.track(&event(json!({"appointment_requested": false, "response_time_ms": 0, "tokens_used": 0})))
        .await
        .ok();
    app.track(&event(json!({"business_id": "bolt"}))).await.ok();
    assert_eq!(
        app.get("/analytics/acme").send().await.ok(),
        json!({
            "business_id": "acme", "period": "30_days",
            "metrics": {
                "total_conversations": 4, "avg_response_time_ms": 150.25, "avg_tokens_used": 15.25,
                "total_api_cost_usd": 0.047, "appointment_requests": 3, "appointments_booked": 2,
                "human_handoffs": 1, "appointment_conversion_rate": 2.0 / 3.0
            },
            "monitoring": "prometheus", "prometheus_metrics_url": "/metrics",
            "timestamp": mlops_service::clock::timestamp(app.now())
        })
    );
}

async fn a_business_without_events_gets_zeros(backend: Backend) {
    let app = TestApp::open(&backend).await;
    for id in ["nobody", "%27%3B%20DROP%20TABLE%20businesses%3B%20--", "a%2Fb", "%F0%9F%A6%80"] {
        let body = app.get(&format!("/analytics/{id}")).send().await.ok();
        let metrics = body["metrics"].as_object().unwrap();
        assert_eq!(metrics.len(), 8);
        assert!(metrics.values().all(|value| value.as_f64() == Some(0.0)), "{body}");
    }
    for id in ["%00", "a%0Ab", &"x".repeat(256)] {
        let reply = app.get(&format!("/analytics/{id}")).send().await;
        reply.refused(400, "Invalid value for field: business_id");
    }
}

async fn the_days_can_be_chosen(backend: Backend) {
    let app = TestApp::open(&backend).await;
    app.track(&event(json!({}))).await.ok();
    app.pass(chrono::TimeDelta::days(40));
    app.track(&event(json!({}))).await.ok();
    for (query, period, events) in [
        ("", "30_days", 1),
        ("?days=1", "1_days", 1),
        ("?days=41", "41_days", 2),
        ("?days=366&x=1", "366_days", 2),
    ] {
        let body = app.get(&format!("/analytics/acme{query}")).send().await.ok();
        assert_eq!(
            (&body["period"], &body["metrics"]["total_conversations"]),
            (&json!(period), &json!(events))
        );
    }
    for days in ["0", "367", "-1", "x", "", "1.5", "99999999999999999999"] {
        let reply = app.get(&format!("/analytics/acme?days={days}")).send().await;
        reply.refused(400, "Invalid value for field: days");
    }
}
