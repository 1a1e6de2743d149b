//! `GET /analytics/{business_id}/conversations`, on both databases.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use mlops_service::clock::timestamp;
use serde_json::{Value, json};

use crate::harness::{Backend, TestApp, on_every_backend};

on_every_backend! {
    conversations_come_newest_first_in_pages,
    conversations_can_be_filtered,
    conversations_come_as_csv_that_no_spreadsheet_runs,
    what_is_wrong_is_refused_with_what_is_right,
}

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_780_000_000, 250_000_000).unwrap()
}

/// Inserts a conversation that began some minutes after [`start`].
async fn plant(backend: &Backend, business: &str, id: &str, minutes: i64, facts: &str) {
    // As the service writes times: SQLite compares their texts.
    let at = (start() + TimeDelta::minutes(minutes)).to_rfc3339_opts(SecondsFormat::AutoSi, false);
    let insert = format!(
        "insert into mlops_conversations (business_id, conversation_id, day, hour, first_at, last_at, first_response_ms, first_intent,
            answers, requested, tokens, value_micros, claimed, handoff, error, in_hours, outcome, in_book, posted, cost_nanos)
         values ('{business}', '{id}', '2026-05-28', 20, '{at}', '{at}', 150, 'i', 3, true, 10, 0, {facts})"
    );
    backend.execute(&insert).await;
}

async fn four(backend: &Backend) {
    plant(backend, "acme", "old", 0, "false, false, false, null, null, false, false, 0").await;
    plant(backend, "acme", "b", 5, "true, false, false, true, 'kept', true, false, 10000001").await;
    plant(backend, "acme", "a", 5, "true, true, false, false, null, false, false, 5").await;
    plant(backend, "acme", "new", 9, "false, false, true, null, 'booked', false, true, 0").await;
    plant(backend, "bolt", "theirs", 3, "false, false, false, null, null, false, false, 0").await;
}

fn ids(page: &Value) -> Vec<&str> {
    let conversations = page["conversations"].as_array().unwrap().iter();
    conversations.map(|one| one["conversation_id"].as_str().unwrap()).collect()
}

async fn conversations_come_newest_first_in_pages(backend: Backend) {
    let app = TestApp::open(&backend).await;
    four(&backend).await;
    let whole = app.get("/analytics/acme/conversations").send().await.ok();
    assert_eq!((ids(&whole), &whole["next"]), (vec!["new", "a", "b", "old"], &Value::Null));
    let at = timestamp(start() + TimeDelta::minutes(5));
    assert_eq!(
        whole["conversations"][2],
        json!({
            "conversation_id": "b", "first_at": at, "last_at": at, "answers": 3, "requested": true, "booked": true,
            "claimed": true, "handoff": false, "error": false, "in_hours": true, "outcome": "kept", "cost_usd": 0.010_000_001
        })
    );
    // No book is shared, so that what an event claims counts.
    let booked: Vec<&Value> =
        whole["conversations"].as_array().unwrap().iter().map(|one| &one["booked"]).collect();
    assert_eq!(booked, [true, true, true, false]);
    let (mut found, mut after) = (Vec::new(), String::new());
    for _ in 0..2 {
        let page = app.get(&format!("/analytics/acme/conversations?limit=2{after}")).send().await.ok();
        found.extend(page["conversations"].as_array().unwrap().clone());
        after = format!("&after={}", page["next"].as_str().unwrap_or("none"));
    }
    assert_eq!((&json!(found), after.as_str()), (&whole["conversations"], "&after=none"));
    let none = app.get("/analytics/nobody/conversations").send().await.ok();
    assert_eq!(none, json!({"conversations": [], "next": null}));
}

async fn conversations_can_be_filtered(backend: Backend) {
    let app = TestApp::open(&backend).await;
    four(&backend).await;
    plant(&backend, "acme", "lost", 7, "false, true, true, null, 'cancelled', true, false, 0").await;
    plant(&backend, "acme", "missed", 8, "false, false, false, null, 'no_show', true, false, 0").await;
    for (query, expected) in [
        ("outcome=kept", vec!["b"]),
        ("outcome=booked", vec!["new"]),
        ("outcome=cancelled", vec!["lost"]),
        ("outcome=no_show", vec!["missed"]),
        ("outcome=none", vec!["a", "old"]),
        ("handoff=true", vec!["lost", "a"]),
        ("error=true", vec!["new", "lost"]),
        ("handoff=true&error=false", vec!["a"]),
        ("outcome=none&handoff=false&error=false", vec!["old"]),
        ("outcome=kept&handoff=true", vec![]),
    ] {
        let page = app.get(&format!("/analytics/acme/conversations?{query}")).send().await.ok();
        assert_eq!(ids(&page), expected, "{query}");
    }
}

async fn conversations_come_as_csv_that_no_spreadsheet_runs(backend: Backend) {
    let app = TestApp::open(&backend).await;
    plant(&backend, "acme", "=1+1", 1, "true, false, false, null, 'kept', true, false, 5000000").await;
    plant(&backend, "acme", "+49 151", 0, "false, false, false, true, null, false, false, 0").await;
    let ask = async |query: &str| {
        app.get(&format!("/analytics/acme/conversations?handoff=false&limit=1{query}"))
            .header("accept", "text/csv")
            .send()
            .await
    };
    let first = ask("").await;
    assert_eq!((first.status.as_u16(), first.header("content-type")), (200, "text/csv; charset=utf-8"));
    let at = timestamp(start() + TimeDelta::minutes(1));
    assert_eq!(
        first.text(),
        format!(
            "\u{feff}conversation_id,first_at,last_at,answers,requested,booked,claimed,handoff,error,in_hours,outcome,cost_usd\r\n\
             '=1+1,{at},{at},3,true,true,true,false,false,,kept,0.005\r\n"
        )
    );
    let link = first.header("link");
    let next =
        link.strip_prefix("<?handoff=false&limit=1&after=").unwrap().strip_suffix(">; rel=\"next\"").unwrap();
    let second = ask(&format!("&after={next}")).await;
    assert!(second.text().contains("\r\n'+49 151,") && !second.text().contains("=1+1"), "{}", second.text());
    assert_eq!(second.header("link"), "");
}

async fn what_is_wrong_is_refused_with_what_is_right(backend: Backend) {
    let app = TestApp::open(&backend).await;
    for (query, field, right) in [
        ("outcome=lost", "outcome", "booked, kept, no_show, cancelled, none"),
        ("handoff=1", "handoff", "true or false"),
        ("error=", "error", "true or false"),
        ("limit=x", "limit", "from 1 to 500"),
        ("after=zz", "after", "of the page before"),
        ("after=5b312c325d", "after", "of the page before"),
    ] {
        let reply = app.get(&format!("/analytics/acme/conversations?{query}")).send().await;
        reply.refused(400, &format!("Invalid value for field: {field}"));
        assert!(reply.json()["message"].as_str().unwrap().contains(right), "{query}: {}", reply.text());
    }
}
