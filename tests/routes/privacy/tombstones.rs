//! What was erased does not come back.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{ask, erase, open};
use crate::harness::{Backend, TestApp, event, on_every_backend};

on_every_backend! {
    events_of_an_erased_conversation_are_counted_and_not_kept,
    an_erased_session_binds_events_without_a_conversation_only,
    an_erased_conversation_is_that_of_one_business,
    tombstones_have_an_end,
    nothing_is_buried_by_what_erases_nobody,
}

async fn track(app: &TestApp, changes: Value) -> Value {
    app.track(&event(changes)).await.ok()
}

fn of(conversation: Option<&str>, session: &str) -> Value {
    json!({"conversation_id": conversation, "session_id": session})
}

async fn events_of_an_erased_conversation_are_counted_and_not_kept(backend: Backend) {
    let app = open(&backend).await;
    track(&app, of(Some("conversation-buried"), "s-1")).await;
    erase(&app, json!({"conversation_id": "conversation-buried"})).await;
    let late = track(&app, of(Some("conversation-buried"), "s-1")).await;
    assert_eq!((&late["database_stored"], &late["reason"]), (&json!(false), &json!("not kept")));
    let mixed = json!({"events": [event(of(Some("conversation-buried"), "s-1")), event(of(Some("conversation-next"), "s-1"))]});
    assert_eq!(app.post("/track/batch").json(&mixed).send().await.ok()["unkept"], 1);
    assert_eq!(
        backend.texts("select conversation_id from ai_metrics").await,
        ["conversation-next"],
        "a new one is a new one"
    );
    assert_eq!(app.metric("ai_response_time_seconds_count").await, Some(4.0));
    assert_eq!(backend.number("select sum(events) from ai_totals_now").await, 4);
    let named =
        json!({"conversation_id": "conversation-buried", "event_id": "8e03978e-40d5-43dd-bc93-6894a57f9324"});
    track(&app, named.clone()).await;
    assert_eq!(track(&app, named).await["duplicate"], true);
    assert!(!backend.dump().contains("conversation-buried"), "a tombstone names nobody");
}

async fn an_erased_session_binds_events_without_a_conversation_only(backend: Backend) {
    let app = open(&backend).await;
    track(&app, of(None, "office")).await;
    erase(&app, json!({"session_id": "office"})).await;
    assert_eq!(track(&app, of(None, "office")).await["database_stored"], false);
    assert_eq!(
        track(&app, of(Some("conversation-buried"), "office")).await["database_stored"],
        true,
        "it may be somebody else's"
    );
    assert_eq!(track(&app, of(None, "home")).await["database_stored"], true);
    assert_eq!(
        track(&app, json!({"conversation_id": null, "session_id": null})).await["database_stored"],
        true
    );
}

async fn an_erased_conversation_is_that_of_one_business(backend: Backend) {
    let app = open(&backend).await;
    let of_business =
        |business: &str| json!({"business_id": business, "conversation_id": "conversation-buried"});
    for business in ["acme", "other"] {
        track(&app, of_business(business)).await;
    }
    erase(&app, json!({"conversation_id": "conversation-buried", "business_id": "acme"})).await;
    assert_eq!(track(&app, of_business("acme")).await["database_stored"], false);
    assert_eq!(track(&app, of_business("other")).await["database_stored"], true);
    erase(&app, json!({"conversation_id": "conversation-buried"})).await;
    assert_eq!(track(&app, of_business("third")).await["database_stored"], false, "it was erased everywhere");
}

async fn tombstones_have_an_end(backend: Backend) {
    for (retention, days) in [("30", 30), ("off", 90)] {
        let settings = [
            ("ALLOW_UNAUTHENTICATED_PRIVACY", "true"),
            ("RATE_LIMIT_DEFAULT", "off"),
            ("RATE_LIMIT_TRACK", "off"),
            ("RETENTION_DAYS", retention),
        ];
        let app = TestApp::with(&backend, &settings).await;
        let conversation = format!("c-{retention}");
        let told = of(Some(&conversation), "s-1");
        track(&app, told.clone()).await;
        erase(&app, json!({"conversation_id": conversation})).await;
        app.pass(TimeDelta::days(days) - TimeDelta::minutes(1));
        assert_eq!(track(&app, told.clone()).await["database_stored"], false, "{retention}");
        app.pass(TimeDelta::minutes(2));
        assert_eq!(track(&app, told).await["database_stored"], true, "{retention}");
    }
}

async fn nothing_is_buried_by_what_erases_nobody(backend: Backend) {
    let app = open(&backend).await;
    let unknown = json!({"conversation_id": "conversation-buried"});
    ask(&app, "/privacy/erase", unknown.clone()).await.refused(404, "Not Found");
    assert_eq!(track(&app, of(Some("conversation-buried"), "s-1")).await["database_stored"], true);
    ask(&app, "/privacy/erase?dry_run=true", unknown).await.ok();
    assert_eq!(track(&app, of(Some("conversation-buried"), "s-1")).await["database_stored"], true);
    assert_eq!(backend.number("select count(*) from mlops_tombstones").await, 0);
}
