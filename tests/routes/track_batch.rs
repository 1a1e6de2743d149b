//! `POST /track/batch`.

use serde_json::{Value, json};

use crate::harness::{Backend, Reply, TestApp, event, on_every_backend};

on_every_backend! {
    the_good_ones_are_kept_and_the_bad_ones_told,
    lines_are_a_batch_too,
    a_repeated_batch_counts_nothing_twice,
    a_batch_of_nothing_good_is_refused,
    a_thousand_events_are_kept_together,
    batches_that_come_together_count_the_ids_they_share_once,
}

const COUNTED: &str = "ai_response_time_seconds_count";

async fn send(app: &TestApp, events: &Value) -> Reply {
    app.post("/track/batch").json(&json!({"events": events})).send().await
}

async fn the_good_ones_are_kept_and_the_bad_ones_told(backend: Backend) {
    let app = TestApp::open(&backend).await;
    let id = "8e03978e-40d5-43dd-bc93-6894a57f9324";
    let events = json!([
        event(json!({"event_id": id})),
        {"business_id": "acme"},
        event(json!({"tokens_used": -1})),
        7,
        {},
        event(json!({"event_id": id})),
        event(json!({"session_id": "s-2"})),
    ]);
    let mut answer = send(&app, &events).await.ok();
    assert_eq!(answer["timestamp"].take(), mlops_service::clock::timestamp(app.now()));
    assert_eq!(
        answer,
        json!({
            "status": "success", "message": "Metrics tracked successfully", "accepted": 2, "duplicates": 1,
            "rejected": [
                {"index": 1, "error": "Missing required field: response_time_ms"},
                {"index": 2, "error": "Invalid value for field: tokens_used"},
                {"index": 3, "error": "Metrics data must be a JSON object"},
                {"index": 4, "error": "No metrics data provided"},
            ],
            "prometheus_updated": true, "database_stored": true, "timestamp": null,
        })
    );
    assert_eq!(backend.rows().await, 2);
    assert_eq!(app.metric(COUNTED).await, Some(2.0));
}

async fn lines_are_a_batch_too(backend: Backend) {
    let app = TestApp::open(&backend).await;
    let lines = format!("{}\n\n{{nonsense\r\n{}\r\n", event(json!({})), event(json!({"session_id": "s-2"})));
    let call = app.post("/track/batch").header("content-type", "application/x-ndjson; charset=utf-8");
    let answer = call.body(lines).send().await.ok();
    assert_eq!((&answer["accepted"], &answer["duplicates"]), (&json!(2), &json!(0)));
    assert_eq!(answer["rejected"], json!([{"index": 1, "error": "Invalid JSON"}]));
    assert_eq!(backend.rows().await, 2);
}

async fn a_repeated_batch_counts_nothing_twice(backend: Backend) {
    let app = TestApp::open(&backend).await;
    let body = json!({"events": [event(json!({})), event(json!({"session_id": "s-2"}))]});
    let send =
        async || app.post("/track/batch").header("idempotency-key", "batch-1").json(&body).send().await.ok();
    assert_eq!(send().await["accepted"], 2);
    let again = send().await;
    assert_eq!((&again["accepted"], &again["duplicates"]), (&json!(0), &json!(2)));
    assert_eq!(app.metric(COUNTED).await, Some(2.0));
}

async fn a_batch_of_nothing_good_is_refused(backend: Backend) {
    let app = TestApp::open(&backend).await;
    let bad = json!([{"business_id": "acme"}, 7]);
    send(&app, &bad).await.refused(400, "Missing required field: response_time_ms");
    for (body, error) in [
        ("", "No metrics data provided"),
        ("{}", "No metrics data provided"),
        (r#"{"events": []}"#, "No metrics data provided"),
        (r#"{"events": 7}"#, "Metrics data must be a JSON object"),
        ("[1]", "Metrics data must be a JSON object"),
        (r#"{"events": ["#, "Invalid JSON"),
    ] {
        let call = app.post("/track/batch").header("content-type", "application/json");
        call.body(body).send().await.refused(400, error);
    }
    let plain = app.post("/track/batch").header("content-type", "text/plain").body("x").send().await;
    plain.refused(415, "Unsupported Media Type");
    assert_eq!(backend.rows().await, 0);
}

async fn a_thousand_events_are_kept_together(backend: Backend) {
    let app = TestApp::open(&backend).await;
    let events = |count: u32| -> Value { (0..count).map(|i| event(json!({"tokens_used": i}))).collect() };
    assert_eq!(send(&app, &events(1_000)).await.ok()["accepted"], 1_000);
    assert_eq!(backend.rows().await, 1_000);
    assert_eq!(app.metric(COUNTED).await, Some(1_000.0));
    send(&app, &events(1_001)).await.refused(413, "Payload Too Large");
    let large = app.post("/track/batch").header("content-type", "application/json");
    large.body("x".repeat(1024 * 1024 + 1)).send().await.refused(413, "Payload Too Large");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_business_sinks_none_of_the_others() {
    let backend = Backend::postgres().await;
    let app = TestApp::open(&backend).await;
    backend
        .execute("create table businesses (id text primary key); insert into businesses values ('acme')")
        .await;
    backend.execute("alter table ai_metrics add foreign key (business_id) references businesses (id)").await;
    let events =
        json!([event(json!({})), event(json!({"business_id": "nobody"})), event(json!({"session_id": "s"}))]);
    let answer = send(&app, &events).await.ok();
    assert_eq!(answer["accepted"], 2);
    assert_eq!(answer["rejected"], json!([{"index": 1, "error": "Invalid value for field: business_id"}]));
}

/// Postgres gets them through two connections at the same time.
async fn batches_that_come_together_count_the_ids_they_share_once(backend: Backend) {
    let app = TestApp::open(&backend).await;
    let named = |id: u32| event(json!({"event_id": format!("8e03978e-40d5-43dd-bc93-{id:012x}")}));
    let batch = |first: u32| Value::from((first..first + 400).map(named).collect::<Vec<_>>());
    let batches: Vec<Value> = (0..8).map(|number| batch(number * 100)).collect();
    let answers = futures_util::future::join_all(batches.iter().map(|batch| send(&app, batch))).await;
    let sum = |field: &str| answers.iter().map(|answer| answer.ok()[field].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("accepted"), sum("duplicates")), (1_100, 8 * 400 - 1_100));
    assert_eq!(backend.rows().await, 1_100);
    assert_eq!(app.metric(COUNTED).await, Some(1_100.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_foreign_business_in_a_batch_counts_as_denied() {
    let backend = Backend::sqlite();
    let app = TestApp::guarded(&backend).await;
    let (_, key) =
        super::keys::create(&app, json!({"name": "a", "scopes": ["track"], "business_id": "acme"})).await;
    let send = async |businesses: &[&str]| {
        let events: Vec<Value> = businesses.iter().map(|id| event(json!({"business_id": id}))).collect();
        let call = app.post("/track/batch").header("x-api-key", &key).json(&json!({"events": events}));
        call.send().await.status.as_u16()
    };
    assert_eq!(send(&["bolt", "cafe", "dove"]).await, 403);
    assert_eq!(send(&["bolt", "acme", "cafe"]).await, 200);
    let denied = r#"security_events_total{event="business_denied"}"#;
    assert_eq!(app.metric(denied).await, Some(5.0));
}
