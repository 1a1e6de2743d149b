//! Every field of an event, and every sum, wherever they are stored.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use mlops_service::business::Profiles;
use mlops_service::event::{COLUMNS, Event, Report};
use mlops_service::privacy::Remarks;
use mlops_service::privacy::export::document::{Document, SpooledEvents};
use mlops_service::privacy::information::Information;
use mlops_service::rollup::{Key, Rollup, Sum, Sums};
use mlops_service::spool::{Delivery, Spool};
use mlops_service::store::{Store, WriteOutcome};
use serde_json::{Value, json};
use strum::VariantArray;
use tempfile::TempDir;

use crate::harness::{Backend, TestApp, on_every_backend, real_now};

on_every_backend! { partitioned:
    every_field_is_found_again_wherever_an_event_is_stored,
    every_field_of_a_foreign_row_is_counted,
    every_sum_is_found_again_pending_and_merged,
}

const ID: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";

/// A report with a different value in each field, none of which is a default.
fn planted() -> Value {
    json!({
        "business_id": "a business", "response_time_ms": 101, "tokens_used": 102, "conversation_id": "a conversation",
        "session_id": "a session", "success_rate": 0.1234, "prompt_tokens": 103, "completion_tokens": 104,
        "api_cost_usd": 105.000_001, "model_name": "a model", "intent_detected": "an intent",
        "response_type": "a response type", "appointment_requested": true, "appointment_booked": true,
        "human_handoff_requested": true, "user_message_length": 106, "ai_response_length": 107, "event_id": ID,
        "tokens_estimated": true, "cached_tokens": 108, "reasoning_tokens": 109, "handoff_reason": "a handoff reason",
        "user_satisfaction": 0.4321,
    })
}

fn made(report: &Value) -> Event {
    let received_at = DateTime::from_timestamp_micros(real_now().timestamp_micros()).unwrap();
    Report::parse(report.to_string().as_bytes()).unwrap().into_event(None, received_at).unwrap()
}

/// Fails if a field was added and is not planted, or is planted with a default.
fn assert_every_field_is_planted(planted: &Value) {
    let default = made(&json!({"business_id": "b", "response_time_ms": 0, "tokens_used": 0})).report();
    let (planted, default) = (planted.as_object().unwrap(), default.as_object().unwrap());
    assert_eq!(planted.keys().collect::<BTreeSet<_>>(), default.keys().collect::<BTreeSet<_>>());
    for (field, value) in planted {
        assert_ne!(value, &default[field], "{field}");
    }
    let distinct = planted.values().filter(|value| !value.is_boolean()).map(Value::to_string);
    let flags = planted.values().filter(|value| value.is_boolean()).count();
    assert_eq!(distinct.collect::<BTreeSet<_>>().len() + flags, planted.len());
}

/// A value of a row as JSON, in the form of a report's. SQLite has neither booleans nor UUIDs.
fn normalized(value: &Value, as_in: &Value) -> Value {
    match (value, as_in) {
        (Value::Number(number), Value::Bool(_)) => json!(number.as_i64() == Some(1)),
        (Value::String(hex), Value::String(id)) if *hex == id.replace('-', "") => as_in.clone(),
        _ => value.clone(),
    }
}

fn assert_row(row: &Value, planted: &Value) {
    for (field, value) in planted.as_object().unwrap() {
        assert_eq!(&normalized(&row[field], value), value, "{field} of {row}");
    }
}

async fn every_field_is_found_again_wherever_an_event_is_stored(backend: Backend) {
    let planted = planted();
    assert_every_field_is_planted(&planted);
    let event = made(&planted);
    assert_eq!(event.report(), planted);
    assert_eq!(spooled_and_read(&event).await, event);
    assert_row(&exported_from_the_spool(&event), &planted);

    let app = TestApp::with(&backend, &[("ALLOW_UNAUTHENTICATED_PRIVACY", "true")]).await;
    app.track(&planted).await.ok();
    let columns: Vec<String> = COLUMNS.iter().map(|column| format!("{} is not null", column.name)).collect();
    let filled = format!("select count(*) from ai_metrics where {}", columns.join(" and "));
    assert_eq!(backend.number(&filled).await, 1);
    for (column, value) in planted.as_object().unwrap() {
        let value = match value {
            Value::String(id) if id == ID && !backend.is_postgres() => format!("x'{}'", id.replace('-', "")),
            Value::String(text) => format!("'{text}'"),
            other => other.to_string(),
        };
        let found = format!("select count(*) from ai_metrics where {column} = {value}");
        assert_eq!(backend.number(&found).await, 1, "{found}");
    }
    let person = json!({"conversation_id": planted["conversation_id"]});
    let export = app.post("/privacy/export").json(&person).send().await.ok();
    let mut categories = export["categories"].as_array().unwrap().iter();
    assert_row(&categories.find(|one| one["table"] == "ai_metrics").unwrap()["rows"][0], &planted);
}

async fn spooled_and_read(event: &Event) -> Event {
    let folder = TempDir::new().unwrap();
    let spool = Spool::new(folder.path(), 1);
    assert_eq!(spool.add(&[event], Delivery::Unsent).await.unwrap(), [true]);
    spool.close().await;
    let spool = Spool::new(folder.path(), 1);
    spool.open().await.unwrap();
    spool.next(Delivery::Unsent, 0, 10).await.unwrap().remove(0).event
}

fn exported_from_the_spool(event: &Event) -> Value {
    let document = Document {
        generated_at: real_now(),
        receipt: "a receipt".to_owned(),
        found_by: "session_id",
        tables: Vec::new(),
        spooled: SpooledEvents::of(std::slice::from_ref(event)),
        remarks: Remarks::default(),
        information: Information::of(&Backend::sqlite().config(&[])),
    };
    let sections = document.sections();
    let columns: BTreeSet<&str> = sections[0].columns.iter().map(String::as_str).collect();
    let row: Value = serde_json::from_str(sections[0].rows[0].get()).unwrap();
    assert_eq!(columns, row.as_object().unwrap().keys().map(String::as_str).collect());
    row
}

/// A row of another program counts like the event with its values.
async fn every_field_of_a_foreign_row_is_counted(backend: Backend) {
    let store = backend.store(&[]).await;
    let event = made(&planted());
    store.write(std::slice::from_ref(&event), false, std::time::Duration::from_secs(10)).await.unwrap();
    backend.execute("update ai_metrics set event_id = null").await;
    assert!(!store.count_foreign_rows(real_now()).await.unwrap().more);
    let mut expected = Sums::of(&event);
    expected.add(&expected.clone());
    let (key, found) = totals(&store).await.pop_first().unwrap();
    assert_eq!((key, found[Sum::Events]), (Key::of(&event), 2));
    for sum in Sum::VARIANTS {
        assert_eq!(found[*sum], expected[*sum], "{sum:?}");
    }
}

async fn totals(store: &Store) -> BTreeMap<Key, Sums> {
    let mut totals: BTreeMap<Key, Sums> = BTreeMap::new();
    let add = |key: &Key, sums: &Sums| totals.entry(key.clone()).or_default().add(sums);
    store.totals(&[], drop, add).await.unwrap();
    totals
}

/// Events whose sums all differ: those of the buckets by how many events are in each.
fn events_of_every_sum() -> Vec<Event> {
    let times = [50, 200, 700, 1_500, 3_000, 7_000];
    let events = times.iter().enumerate().flat_map(|(bucket, ms)| vec![*ms; bucket + 1]).enumerate();
    let mut report = planted();
    report.as_object_mut().unwrap().remove("event_id");
    let events = events.map(|(number, ms)| {
        report["response_time_ms"] = json!(ms);
        report["appointment_requested"] = json!(number < 20);
        report["appointment_booked"] = json!(number < 17);
        report["human_handoff_requested"] = json!(number < 13);
        made(&report)
    });
    events.collect()
}

async fn every_sum_is_found_again_pending_and_merged(backend: Backend) {
    let store = backend.store(&[]).await;
    let events = events_of_every_sum();
    let rollup = Rollup::of(&events, &Profiles::in_zone(chrono_tz::UTC));
    let (key, expected) = rollup.totals().into_iter().next().map(|(key, sums)| (key.clone(), sums)).unwrap();
    let distinct: BTreeSet<i64> = Sum::VARIANTS.iter().map(|sum| expected[*sum]).collect();
    assert_eq!((distinct.len(), distinct.contains(&0)), (Sum::VARIANTS.len(), false));

    let written = store.write(&events, false, std::time::Duration::from_secs(10)).await.unwrap();
    assert_eq!(written.outcomes, vec![WriteOutcome::Counted; events.len()]);
    for merged in [false, true] {
        if merged {
            assert!(store.merge_rollup(&written.counted).await.unwrap());
        }
        assert_eq!(totals(&store).await, BTreeMap::from([(key.clone(), expected.clone())]));
        for sum in Sum::VARIANTS {
            let column = sum.column();
            for table in ["ai_totals_now", "ai_rollup_daily_now"] {
                let found = backend.number(&format!("select sum({column}) from {table}")).await;
                assert_eq!(found, expected[*sum], "{column} of {table}, merged: {merged}");
            }
        }
    }
    let more = store.write(&events_of_every_sum(), false, std::time::Duration::from_secs(10)).await.unwrap();
    while store.merge_leftover_rollups(more.counted.pending.first().copied().unwrap_or(0), 10).await.unwrap()
    {
    }
    for sum in Sum::VARIANTS {
        let found = backend.number(&format!("select sum({}) from ai_totals", sum.column())).await;
        assert_eq!(found, 2 * expected[*sum], "{}", sum.column());
    }
}
