//! `POST /outcomes`, and outcomes that are read from the app's appointments.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::harness::{Backend, KEY, Reply, TestApp, event, on_every_backend};

on_every_backend! {
    an_outcome_is_recorded_once,
    a_batch_tells_what_is_wrong_with_each,
    what_is_not_an_outcome_is_refused_by_name,
    lines_and_an_idempotency_key_name_outcomes_too,
    outcomes_of_erased_conversations_are_only_counted,
    metrics_count_conversations_costs_and_outcomes,
    the_book_is_followed,
}

fn outcome(changes: Value) -> Value {
    let mut outcome = json!({"business_id": "acme", "conversation_id": "c-1", "outcome": "kept"});
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    outcome.as_object_mut().unwrap().extend(changes);
    outcome
}

async fn post(app: &TestApp, body: &Value) -> Reply {
    app.post("/outcomes").json(body).send().await
}

async fn an_outcome_is_recorded_once(backend: Backend) {
    let app = TestApp::open(&backend).await;
    app.track(&event(json!({}))).await.ok();
    let id = "8e03978e-40d5-43dd-bc93-6894a57f9324";
    let sent =
        outcome(json!({"outcome_id": id, "value_usd": 120.5, "occurred_at": "2026-11-01T10:00:00+01:00"}));
    let mut answer = post(&app, &sent).await.ok();
    assert_eq!(answer["timestamp"].take(), mlops_service::clock::timestamp(app.now()));
    assert_eq!(answer, json!({"status": "success", "message": "Outcome recorded", "timestamp": null}));
    let answer = post(&app, &sent).await.ok();
    assert_eq!(answer["duplicate"], true);
    app.app.store.digest_all().await.unwrap();
    assert_eq!(backend.number("select count(*) from mlops_outcomes").await, 1);
    assert_eq!(backend.number("select value_kept_micros from mlops_conversation_daily").await, 120_500_000);
    // The same id of another business is another outcome.
    let other = outcome(json!({"outcome_id": id, "business_id": "other"}));
    assert_eq!(post(&app, &other).await.ok()["duplicate"], Value::Null);
}

async fn a_batch_tells_what_is_wrong_with_each(backend: Backend) {
    let app = TestApp::open(&backend).await;
    let outcomes = json!([
        outcome(json!({})),
        outcome(json!({"outcome": "came"})),
        {"business_id": "acme"},
        7,
        outcome(json!({"note": "x"})),
        outcome(json!({"conversation_id": "c-2", "outcome": "no_show"})),
    ]);
    let answer = post(&app, &json!({"outcomes": outcomes})).await.ok();
    assert_eq!((&answer["accepted"], &answer["duplicates"]), (&json!(2), &json!(0)));
    assert_eq!(
        answer["rejected"],
        json!([
            {"index": 1, "error": "Invalid value for field: outcome"},
            {"index": 2, "error": "Missing required field: conversation_id"},
            {"index": 3, "error": "Metrics data must be a JSON object"},
            {"index": 4, "error": "Invalid request body"},
        ])
    );
    let many = json!({"outcomes": vec![outcome(json!({})); 1_001]});
    post(&app, &many).await.refused(413, "Payload Too Large");
    let all = json!({"outcomes": vec![outcome(json!({})); 1_000]});
    assert_eq!(post(&app, &all).await.ok()["accepted"], 1_000);
}

async fn what_is_not_an_outcome_is_refused_by_name(backend: Backend) {
    let app = TestApp::open(&backend).await;
    let ahead = (app.now() + TimeDelta::days(2)).to_rfc3339();
    for (changes, error) in [
        (json!({"business_id": null}), "Missing required field: business_id"),
        (json!({"business_id": ""}), "Invalid value for field: business_id"),
        (json!({"conversation_id": "unknown"}), "Invalid value for field: conversation_id"),
        (json!({"conversation_id": 7}), "Invalid value for field: conversation_id"),
        (json!({"outcome": "KEPT"}), "Invalid value for field: outcome"),
        (json!({"value_usd": -1}), "Invalid value for field: value_usd"),
        (json!({"value_usd": "120"}), "Invalid value for field: value_usd"),
        (json!({"value_usd": 1e300}), "Invalid value for field: value_usd"),
        (json!({"occurred_at": "yesterday"}), "Invalid value for field: occurred_at"),
        (json!({"occurred_at": ahead}), "Invalid value for field: occurred_at"),
        (json!({"outcome_id": "1"}), "Invalid value for field: outcome_id"),
        (json!({"phone": "1"}), "Invalid request body"),
    ] {
        post(&app, &outcome(changes)).await.refused(400, error);
    }
    post(&app, &json!({})).await.refused(400, "No metrics data provided");
    post(&app, &json!([])).await.refused(400, "No metrics data provided");
    post(&app, &json!({"outcomes": []})).await.refused(400, "No metrics data provided");
    post(&app, &json!({"outcomes": 7})).await.refused(400, "Invalid value for field: outcomes");
    assert_eq!(backend.number("select count(*) from mlops_outcomes").await, 0);
}

async fn lines_and_an_idempotency_key_name_outcomes_too(backend: Backend) {
    let app = TestApp::open(&backend).await;
    let lines = format!("{}\n\n{}\n", outcome(json!({})), outcome(json!({"conversation_id": "c-2"})));
    for duplicates in [0, 2] {
        let call = app.post("/outcomes").header("content-type", "application/x-ndjson");
        let answer = call.header("idempotency-key", "evening").body(lines.clone()).send().await.ok();
        assert_eq!(answer["duplicates"], duplicates);
    }
    for duplicate in [Value::Null, json!(true)] {
        let call = app.post("/outcomes").header("idempotency-key", "one");
        assert_eq!(call.json(&outcome(json!({}))).send().await.ok()["duplicate"], duplicate);
    }
}

async fn outcomes_of_erased_conversations_are_only_counted(backend: Backend) {
    let settings = [("PRIVACY_HASH_KEY", KEY), ("ALLOW_UNAUTHENTICATED_PRIVACY", "true")];
    let app = TestApp::with(&backend, &settings).await;
    app.track(&event(json!({"conversation_id": "gone"}))).await.ok();
    let erase = app.post("/privacy/erase").json(&json!({"conversation_id": "gone"})).send().await;
    assert_eq!(erase.ok()["status"], "success");
    let id = "8e03978e-40d5-43dd-bc93-6894a57f9324";
    for duplicate in [Value::Null, json!(true)] {
        let sent = outcome(json!({"conversation_id": "gone", "outcome_id": id}));
        assert_eq!(post(&app, &sent).await.ok()["duplicate"], duplicate);
    }
    assert_eq!(backend.number("select count(*) from mlops_outcomes").await, 0);
    assert_eq!(backend.number("select cast(sum(outcomes) as bigint) from mlops_outcome_daily").await, 1);
}

async fn metrics_count_conversations_costs_and_outcomes(backend: Backend) {
    let app = TestApp::open(&backend).await;
    for conversation in ["a", "a", "b"] {
        app.track(&event(json!({"conversation_id": conversation, "api_cost_usd": 0}))).await.ok();
    }
    post(&app, &outcome(json!({"conversation_id": "a"}))).await.ok();
    app.post("/refresh-metrics").send().await.ok();
    let expected = [
        (r#"ai_conversations_total{business_id="acme"}"#, 2.0),
        (r#"ai_outcomes_total{business_id="acme",outcome="kept"}"#, 1.0),
        // 50 prompt and 25 completion tokens, at 0.075 and 0.30 dollars per million.
        (
            r#"ai_computed_cost_usd_total{business_id="acme",model_name="gemini-1.5-flash"}"#,
            3.0 * 0.000_011_25,
        ),
        (r#"ai_api_cost_usd_total{business_id="acme",model_name="gemini-1.5-flash"}"#, 0.0),
    ];
    for (series, value) in expected {
        let shown = app.metric(series).await.unwrap_or_else(|| panic!("{series}"));
        assert!((shown - value).abs() < 1e-12, "{series} {shown}");
    }
}

/// Tracks three conversations, of which one claims a booking, and has the app book two of them and one that no event named.
async fn plant_book(app: &TestApp, backend: &Backend) {
    for conversation in ["one", "two", "claimed"] {
        let booked = conversation == "claimed";
        app.track(&event(json!({"conversation_id": conversation, "appointment_booked": booked}))).await.ok();
    }
    app.app.store.digest_all().await.unwrap();
    backend
        .execute(
            "insert into appointments (id, business_id, conversation_id, customer_name, appointment_date, appointment_time, status)
             select id, 'acme', null, 'n', '2026-11-02', '10:00', status
             from (values ('a1', 'scheduled'), ('a2', 'confirmed'), ('a3', 'scheduled')) a(id, status);
             insert into conversations (id, business_id) values ('one', 'acme'), ('two', 'acme'), ('never seen', 'acme');
             update appointments set conversation_id = 'one' where id = 'a1';
             update appointments set conversation_id = 'two' where id = 'a2';
             update appointments set conversation_id = 'never seen' where id = 'a3'",
        )
        .await;
}

/// On Postgres, where the app's tables can be.
async fn the_book_is_followed(backend: Backend) {
    let backend = backend.with_app_tables().await;
    let app = TestApp::open(&backend).await;
    let store = &app.app.store;
    if !backend.is_postgres() {
        assert!(!store.shares_book() && !store.read_book(app.now()).await.unwrap());
        return;
    }
    plant_book(&app, &backend).await;
    let state = async || {
        while store.read_book(app.now()).await.unwrap() {}
        let sums = "select booked || ' booked ' || kept || ' kept ' || cancelled || ' cancelled ' || in_book_not_claimed
            || ' not claimed ' || claimed_not_booked || ' not in book' from mlops_conversation_daily";
        let waiting = "select outcome || ' ' || outcomes from mlops_outcome_daily where outcomes <> 0";
        [backend.texts(sums).await, backend.texts(waiting).await].concat()
    };
    let at_first = ["2 booked 0 kept 0 cancelled 2 not claimed 1 not in book", "booked 1"];
    assert_eq!(state().await, at_first);
    assert!(store.shares_book());
    backend.execute("update appointments set status = 'completed' where id in ('a1', 'a3')").await;
    backend.execute("update appointments set status = 'cancelled' where id = 'a2'").await;
    assert_eq!(state().await, ["2 booked 1 kept 1 cancelled 2 not claimed 1 not in book", "kept 1"]);
    // The app forgets a conversation, not the appointment.
    backend.execute("delete from conversations where id = 'one'").await;
    assert_eq!(state().await, ["2 booked 1 kept 1 cancelled 2 not claimed 1 not in book", "kept 1"]);
    // A duplicate is removed.
    backend.execute("delete from appointments where id = 'a2'").await;
    assert_eq!(state().await, ["1 booked 1 kept 0 cancelled 1 not claimed 1 not in book", "kept 1"]);
    // A posted outcome wins over the book, and the claimed booking turns up there.
    post(&app, &outcome(json!({"conversation_id": "one", "outcome": "no_show"}))).await.ok();
    backend
        .execute(
            "insert into conversations (id, business_id) values ('claimed', 'acme');
             insert into appointments (id, business_id, conversation_id, customer_name, status)
             values ('a4', 'acme', 'claimed', 'n', 'scheduled'), ('a5', 'acme', null, 'n', 'completed')",
        )
        .await;
    assert_eq!(state().await, ["2 booked 0 kept 0 cancelled 1 not claimed 0 not in book", "kept 1"]);
    // What an event names at last joins its conversation.
    app.track(&event(json!({"conversation_id": "never seen"}))).await.ok();
    store.digest_all().await.unwrap();
    assert_eq!(state().await, ["3 booked 1 kept 0 cancelled 2 not claimed 0 not in book"]);
}
