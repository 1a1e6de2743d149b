//! What is exported from one database and imported into one of the other kind is the same there.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{expect, import, text_of};
use crate::harness::{Backend, TestApp, command, event, on_every_backend};

on_every_backend! {
    an_export_is_the_same_in_a_database_of_the_other_kind,
}

const PARTS: &str =
    "conversations,series,hours,percentiles,by_model,by_intent,by_response_type,funnel,cost,previous,quality";

const SETTINGS: [(&str, &str); 4] = [
    ("TIME_ZONE", "Pacific/Auckland"),
    ("RATE_LIMIT_TRACK", "off"),
    ("RATE_LIMIT_ANALYTICS", "off"),
    ("RATE_LIMIT_REFRESH_METRICS", "off"),
];

async fn other(backend: &Backend) -> Backend {
    if backend.is_postgres() { Backend::sqlite() } else { Backend::postgres().await }
}

/// Reports events of two businesses over some weeks, with everything that an event can tell and the least that it must.
async fn report(app: &TestApp) {
    app.pass(TimeDelta::days(-40));
    for n in 0..60_i32 {
        app.pass(TimeDelta::milliseconds(50_000_123 + i64::from(n)));
        let business = ["acme", "b,\"o\"lt é"][(n % 3 / 2).unsigned_abs() as usize];
        let told = match n % 5 {
            0 => {
                json!({"business_id": business, "response_time_ms": n * 37, "tokens_used": n, "success_rate": 0.1234,
                        "api_cost_usd": 0.000_001, "session_id": "", "conversation_id": ""})
            }
            1 => {
                json!({"business_id": business, "response_time_ms": 2_147_483_647, "tokens_used": 0, "success_rate": 1,
                        "api_cost_usd": 9_999.999_999, "conversation_id": format!("c-{}", n / 7), "intent_detected": "\\\\N"})
            }
            _ => event(json!({
                "business_id": business, "response_time_ms": n * n, "conversation_id": format!("c-{}", n / 7),
                "model_name": format!("gpt-{}", n % 4), "intent_detected": "\"why, oh why\"", "appointment_booked": n % 2 == 0,
                "tokens_estimated": n % 3 == 0, "cached_tokens": n, "reasoning_tokens": 1, "handoff_reason": "’quoted’",
                "human_handoff_requested": n % 7 == 0, "user_satisfaction": 0.5,
                "event_id": (n % 2 == 0).then(|| uuid::Uuid::from_u128(n.unsigned_abs().into()).to_string()),
            })),
        };
        let reply = app.track(&told).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
}

/// What callers see of a database: the analytics of all parts, and the metrics of events.
async fn seen(backend: &Backend) -> (Vec<Value>, BTreeSet<String>) {
    let app = TestApp::with(backend, &SETTINGS).await;
    app.post("/refresh-metrics").send().await.ok();
    let mut answers = Vec::new();
    for business in ["acme", "b%2C%22o%22lt%20%C3%A9"] {
        let path = format!("/analytics/{business}?days=60&include={PARTS}");
        let mut answer = app.get(&path).send().await.ok();
        assert!(answer["conversations"]["answers"].as_i64() > Some(10), "{answer}");
        // Both depend on the time of day.
        answer["timestamp"].take();
        answer["cost"]["month_projected_usd"].take();
        answers.push(answer);
    }
    let of_events = |line: &&str| {
        ["ai_", "appointments_", "human_"].iter().any(|name| line.starts_with(name))
            && !line.starts_with("ai_system_info")
    };
    let metrics = app.metrics().await.lines().filter(of_events).map(ToOwned::to_owned).collect();
    app.stop().await;
    (answers, metrics)
}

/// The rows of a database, whatever their ids there.
fn rows(backend: &Backend) -> Vec<Value> {
    let output = command(backend, &[]).args(["export", "events", "--format", "ndjson"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for row in &mut rows {
        row.as_object_mut().unwrap().remove("id");
    }
    rows.sort_by_key(|row| row["event_id"].to_string());
    rows
}

async fn an_export_is_the_same_in_a_database_of_the_other_kind(backend: Backend) {
    let app = TestApp::with(&backend, &SETTINGS).await;
    report(&app).await;
    app.stop().await;
    let (all, before) = (rows(&backend), seen(&backend).await);
    assert_eq!(all.len(), 60);
    for (name, format) in [("all.csv", "csv"), ("all.ndjson.gz", "ndjson")] {
        let file = backend.folder.path().join(name);
        let arguments = ["export", "events", "--format", format, "--output", text_of(&file)];
        assert!(command(&backend, &SETTINGS).args(arguments).status().unwrap().success());
        let copy = other(&backend).await;
        expect(&import(&copy, &SETTINGS, &["--from", text_of(&file)]), [60, 60, 0, 0]);
        assert_eq!(rows(&copy), all, "{name}");
        assert_eq!(seen(&copy).await, before, "{name}");
        expect(&import(&copy, &SETTINGS, &["--from", text_of(&file)]), [60, 0, 60, 0]);
        expect(&import(&backend, &SETTINGS, &["--from", text_of(&file)]), [60, 0, 60, 0]);
        assert_eq!((seen(&copy).await, rows(&copy)), (before.clone(), all.clone()), "{name} again");
    }
    assert_eq!(seen(&backend).await, before);
}
