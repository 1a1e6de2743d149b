//! `POST /track`: every row of the contract's tables, on both databases.

use axum::http::Method;
use serde_json::{Value, json};

use crate::harness::{Backend, Call, TestApp, event, insert_as_the_app, on_every_backend};

on_every_backend! {
    an_event_is_stored_counted_and_answered,
    the_least_event_has_the_contracts_defaults,
    nulls_are_absent_fields,
    unknown_fields_are_ignored,
    a_satisfaction_out_of_bounds_costs_no_event,
    every_bound_is_kept_and_no_more,
    a_refused_event_changes_nothing,
    an_event_id_counts_once,
    an_idempotency_key_stands_in_for_the_event_id,
    the_apps_own_row_and_the_report_are_one,
    what_reached_the_handler_is_counted,
    other_encodings_are_read_or_named,
    slashes_at_the_start_of_a_path_count_as_one,
}

const SERIES: &str = r#"ai_requests_total{business_id="acme",response_type="booking",intent="appointment"}"#;

async fn an_event_is_stored_counted_and_answered(backend: Backend) {
    let app = TestApp::open(&backend).await;
    let mut answer = app.track(&event(json!({}))).await.ok();
    let at = answer["timestamp"].take();
    assert_eq!(at, mlops_service::clock::timestamp(app.now()));
    assert_eq!(
        answer,
        json!({"status": "success", "message": "Metrics tracked successfully", "prometheus_updated": true,
               "database_stored": true, "timestamp": null})
    );
    assert_eq!(backend.rows().await, 1);
    for (series, value) in [
        (SERIES, 1.0),
        ("ai_response_time_seconds_count", 1.0),
        ("ai_response_time_seconds_sum", 0.15),
        (r#"ai_response_time_seconds_bucket{le="0.1"}"#, 0.0),
        (r#"ai_response_time_seconds_bucket{le="0.5"}"#, 1.0),
        (r#"ai_response_time_seconds_bucket{le="10"}"#, 1.0),
        (r#"ai_success_rate{business_id="acme"}"#, 0.95),
        (r#"ai_tokens_used_total{business_id="acme",model_name="gemini-1.5-flash"}"#, 75.0),
        (r#"ai_api_cost_usd_total{business_id="acme",model_name="gemini-1.5-flash"}"#, 0.002),
        (r#"appointments_requested_total{business_id="acme"}"#, 1.0),
        (r#"appointments_booked_total{business_id="acme"}"#, 0.0),
    ] {
        assert_eq!(app.metric(series).await, Some(value), "{series}");
    }
}

async fn the_least_event_has_the_contracts_defaults(backend: Backend) {
    let app = TestApp::open(&backend).await;
    app.track(&json!({"business_id": "b", "response_time_ms": 0.5, "tokens_used": 0})).await.ok();
    let defaults = "select count(*) from ai_metrics where business_id = 'b' and conversation_id is null
        and session_id = 'unknown' and response_time_ms = 1 and success_rate = 1 and tokens_used = 0
        and prompt_tokens is null and completion_tokens is null and api_cost_usd = 0
        and model_name = 'gemini-1.5-flash' and intent_detected = 'unknown' and response_type = 'unknown'
        and not appointment_requested and not appointment_booked and not human_handoff_requested
        and user_message_length = 0 and ai_response_length = 0 and not tokens_estimated and cached_tokens is null
        and reasoning_tokens is null and handoff_reason is null and user_satisfaction is null and event_id is not null and created_at is not null";
    assert_eq!(backend.number(defaults).await, 1);
    assert_eq!(app.metric(r#"ai_success_rate{business_id="b"}"#).await, None, "the gauge is left alone");
}

async fn nulls_are_absent_fields(backend: Backend) {
    let app = TestApp::open(&backend).await;
    let mut all = event(json!({"event_id": null, "tokens_estimated": null, "cached_tokens": null,
        "reasoning_tokens": null, "handoff_reason": null, "user_satisfaction": null}));
    for (name, value) in all.as_object_mut().unwrap() {
        if !["business_id", "response_time_ms", "tokens_used"].contains(&name.as_str()) {
            *value = Value::Null;
        }
    }
    app.track(&all).await.ok();
    assert_eq!(backend.number("select count(*) from ai_metrics where session_id = 'unknown'").await, 1);
}

async fn unknown_fields_are_ignored(backend: Backend) {
    let app = TestApp::open(&backend).await;
    app.track(&event(json!({"new": {"deep": [1, {"er": null}]}, "created_at": "1970-01-01", "id": 7})))
        .await
        .ok();
    assert_eq!(backend.number("select count(*) from ai_metrics where id = 7").await, 0);
}

async fn a_satisfaction_out_of_bounds_costs_no_event(backend: Backend) {
    let app = TestApp::open(&backend).await;
    for (kept, value) in [("0", json!(0)), ("0.25", json!(0.25)), ("1", json!(1.0))] {
        app.track(&event(json!({"user_satisfaction": value, "session_id": kept}))).await.ok();
        let stored = format!(
            "select count(*) from ai_metrics where session_id = '{kept}' and user_satisfaction = {kept}"
        );
        assert_eq!(backend.number(&stored).await, 1, "{value}");
    }
    let wrong = [
        json!(-0.1),
        json!(1.000_1),
        json!(5),
        json!("0.5"),
        json!("very\n"),
        json!(true),
        json!([0.5]),
        json!({"stars": 5}),
    ];
    for value in &wrong {
        let reply = app.track(&event(json!({"user_satisfaction": value, "session_id": "wrong"}))).await;
        assert_eq!(reply.status, 200, "{value}: {}", reply.text());
    }
    let huge = event(json!({"user_satisfaction": 7777, "session_id": "wrong"})).to_string();
    let huge =
        app.post("/track").header("content-type", "application/json").body(huge.replace("7777", "1e400"));
    huge.send().await.ok();
    let stored = "select count(*) from ai_metrics where session_id = 'wrong' and user_satisfaction is null";
    assert_eq!(backend.number(stored).await, i64::try_from(wrong.len() + 1).unwrap());
}

/// Values that a field takes, and values that it does not.
type Values = Vec<(&'static str, Value)>;

fn texts(good: &mut Values, bad: &mut Values) {
    let text = |n: usize| json!("ü".repeat(n));
    for (field, max) in [
        ("business_id", 255),
        ("conversation_id", 255),
        ("session_id", 255),
        ("model_name", 100),
        ("intent_detected", 50),
        ("response_type", 50),
        ("handoff_reason", 50),
    ] {
        good.push((field, text(max)));
        bad.extend([(field, text(max + 1)), (field, json!(1)), (field, json!(["a"]))]);
        bad.extend(["a\u{0}b", "a\nb", "\u{7f}"].map(|control| (field, json!(control))));
    }
    good.push(("session_id", json!("")));
    bad.extend([("business_id", json!("")), ("event_id", json!("not-a-uuid")), ("event_id", json!(7))]);
}

fn numbers(good: &mut Values, bad: &mut Values) {
    let most = 2_147_483_647_i64;
    for field in [
        "tokens_used",
        "prompt_tokens",
        "completion_tokens",
        "user_message_length",
        "ai_response_length",
        "cached_tokens",
        "reasoning_tokens",
    ] {
        good.extend([(field, json!(0)), (field, json!(5.0)), (field, json!(most))]);
        bad.extend([(field, json!(-1)), (field, json!(most + 1)), (field, json!(0.5)), (field, json!("1"))]);
        bad.extend([(field, json!(true)), (field, json!({})), (field, json!(u64::MAX))]);
    }
    for (field, max, above) in [
        ("response_time_ms", 2_147_483_647.0, 2_147_483_647.5),
        ("success_rate", 1.0, 1.000_1),
        ("api_cost_usd", 9_999.999_999, 9_999.999_999_5),
    ] {
        good.extend([(field, json!(0)), (field, json!(-0.0)), (field, json!(0.5)), (field, json!(max))]);
        bad.extend([
            (field, json!(-0.000_1)),
            (field, json!(above)),
            (field, json!("100")),
            (field, json!(false)),
        ]);
    }
    for field in
        ["appointment_requested", "appointment_booked", "human_handoff_requested", "tokens_estimated"]
    {
        good.push((field, json!(true)));
        bad.extend([(field, json!(1)), (field, json!("true"))]);
    }
}

async fn every_bound_is_kept_and_no_more(backend: Backend) {
    let app = TestApp::open(&backend).await;
    let (mut good, mut bad) = (Values::new(), Values::new());
    texts(&mut good, &mut bad);
    numbers(&mut good, &mut bad);
    for (field, value) in &good {
        let reply = app.track(&event(json!({*field: value}))).await;
        assert_eq!(reply.status, 200, "{field}: {value}: {}", reply.text());
    }
    let stored = i64::try_from(good.len()).unwrap();
    assert_eq!(backend.rows().await, stored);
    for (field, value) in &bad {
        let reply = app.track(&event(json!({*field: value}))).await;
        assert_eq!(reply.status, 400, "{field}: {value}");
        reply.refused(400, &format!("Invalid value for field: {field}"));
        assert!(reply.json()["message"].as_str().unwrap().contains("must be"), "{}", reply.text());
    }
    assert_eq!(backend.rows().await, stored, "nothing refused is stored");
}

async fn other_encodings_are_read_or_named(backend: Backend) {
    let app = TestApp::open(&backend).await;
    let post =
        |path: &str, body: Vec<u8>| app.post(path).header("content-type", "application/json").body(body);
    let cut = event(json!({"session_id": "CUT"})).to_string().replace("CUT", "half \\ud83d");
    post("/track", format!("\u{feff}{cut}").into()).send().await.ok();
    post("/track/batch", format!("\u{feff}{{\"events\":[{cut}]}}").into()).send().await.ok();
    assert_eq!(backend.texts("select session_id from ai_metrics").await, ["half \u{fffd}", "half \u{fffd}"]);
    let utf16 = event(json!({})).to_string().encode_utf16().flat_map(u16::to_le_bytes).collect();
    let refused = post("/track", utf16).send().await;
    refused.refused(400, "Invalid JSON");
    assert_eq!(refused.json()["message"], "The body is UTF-16; send UTF-8");
}

async fn slashes_at_the_start_of_a_path_count_as_one(backend: Backend) {
    let app = TestApp::guarded(&backend).await;
    for path in ["//track", "///track?x=1"] {
        app.post(path).json(&event(json!({}))).send().await.refused(401, "Unauthorized");
        let call = app.post(path).header("x-api-key", crate::harness::KEY);
        call.json(&event(json!({}))).send().await.ok();
    }
    assert_eq!(app.get("//health").send().await.status, 200);
    app.get("//nowhere").send().await.refused(404, "Not Found");
    app.get("/health//detailed").send().await.refused(404, "Not Found");
    let counted = r#"http_requests_total{method="POST",route="/track",status="200"}"#;
    assert_eq!(app.metric(counted).await, Some(2.0));
}

/// Sends bodies that are no event, and checks how each is refused.
async fn send_what_is_no_event(app: &TestApp) {
    let send =
        |body: &str| app.post("/track").header("content-type", "application/json").body(body.to_owned());
    for body in ["", "  \n", "{}", "null", "[]", " [ ] "] {
        send(body).send().await.refused(400, "No metrics data provided");
    }
    app.post("/track").send().await.refused(400, "No metrics data provided");
    for (body, field) in [
        (r#"{"tokens_used": 1}"#, "business_id"),
        (r#"{"business_id": null, "tokens_used": "x"}"#, "business_id"),
        (r#"{"business_id": "b", "tokens_used": 1}"#, "response_time_ms"),
        (r#"{"business_id": "b", "response_time_ms": 1, "tokens_used": null}"#, "tokens_used"),
        (r#"{"x": 1}"#, "business_id"),
    ] {
        send(body).send().await.refused(400, &format!("Missing required field: {field}"));
    }
    send("\u{feff}{}").send().await.refused(400, "No metrics data provided");
    for body in ["{", "hello", r#"{"a": 1,}"#, "{} {}", "{\u{feff}}", "'a'"] {
        send(body).send().await.refused(400, "Invalid JSON");
    }
    let told = send("{\n  \"business_id\": oops}").send().await.json();
    assert_eq!(told["message"], "The body is not valid JSON at line 2, column 18");
    for body in ["1", r#""text""#, "true", "[1]", "[{}]"] {
        send(body).send().await.refused(400, "Metrics data must be a JSON object");
    }
    let deep = format!("{}1{}", "[".repeat(30_000), "]".repeat(30_000));
    assert_eq!(send(&deep).send().await.status, 400);
}

/// Sends an event in ways that are not the contract's, and checks how each is refused.
async fn send_in_wrong_ways(app: &TestApp) {
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
        let call = app.post("/track").header("content-type", kind).body(event(json!({})).to_string());
        call.send().await.refused(415, "Unsupported Media Type");
    }
    let large = event(json!({"padding": "x".repeat(64 * 1024)}));
    app.track(&large).await.refused(413, "Payload Too Large");
    for key in ["ä", &"k".repeat(256)] {
        let call = app.post("/track").header("idempotency-key", key).json(&event(json!({})));
        call.send().await.refused(400, "Invalid value for field: Idempotency-Key");
    }
}

async fn a_refused_event_changes_nothing(backend: Backend) {
    let app = TestApp::open(&backend).await;
    app.track(&event(json!({}))).await.ok();
    let own = |text: String| {
        let others = ["http_", "process_", "# "];
        text.lines()
            .filter(|line| !others.iter().any(|name| line.starts_with(name)))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let before = own(app.metrics().await);
    send_what_is_no_event(&app).await;
    send_in_wrong_ways(&app).await;
    assert_eq!(own(app.metrics().await), before);
    assert_eq!(backend.rows().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn json_types_and_bodies_up_to_the_limit_are_taken() {
    let backend = Backend::sqlite();
    let app = TestApp::open(&backend).await;
    for kind in ["application/json", "Application/JSON; charset=utf-8", "application/cloudevents+json"] {
        let call = app.post("/track").header("content-type", kind).body(event(json!({})).to_string());
        call.send().await.ok();
    }
    let unsaid = app.post("/track").body(event(json!({})).to_string()).send().await;
    unsaid.refused(415, "Unsupported Media Type");
    let room = 64 * 1024 - event(json!({"padding": ""})).to_string().len();
    app.track(&event(json!({"padding": "x".repeat(room)}))).await.ok();
}

async fn an_event_id_counts_once(backend: Backend) {
    let app = TestApp::open(&backend).await;
    let named = event(json!({"event_id": "8E03978E-40D5-43DD-BC93-6894A57F9324"}));
    assert_eq!(app.track(&named).await.ok().get("duplicate"), None);
    let again = app.track(&named).await.ok();
    assert_eq!(again["duplicate"], true);
    assert_eq!(again["status"], "success");
    let calls = (0..20).map(|_| app.post("/track").json(&named).send());
    for reply in futures_util::future::join_all(calls).await {
        assert_eq!(reply.ok()["duplicate"], true);
    }
    assert_eq!(backend.rows().await, 1);
    assert_eq!(app.metric(SERIES).await, Some(1.0));
}

async fn an_idempotency_key_stands_in_for_the_event_id(backend: Backend) {
    let app = TestApp::open(&backend).await;
    let with = async |key: &str, changes: Value| {
        let call: Call = app.call(Method::POST, "/track").header("idempotency-key", key);
        call.json(&event(changes)).send().await.ok()["duplicate"] == true
    };
    let id = "8e03978e-40d5-43dd-bc93-6894a57f9324";
    assert!(!with(id, json!({})).await);
    assert!(with(&format!("\"{id}\""), json!({})).await, "a quoted string is the same key");
    assert!(with("other", json!({"event_id": id})).await, "the field wins");
    assert!(!with("order-1", json!({})).await);
    assert!(with("order-1", json!({})).await);
    assert!(!with("order-1", json!({"business_id": "bolt"})).await, "each business counts for itself");
    assert_eq!(backend.rows().await, 3);
}

async fn the_apps_own_row_and_the_report_are_one(backend: Backend) {
    let app = TestApp::open(&backend).await;
    for (session, refresh_between) in [("s-1", false), ("s-2", true)] {
        insert_as_the_app(&backend, session, 0).await;
        if refresh_between {
            app.post("/refresh-metrics").send().await.ok();
        }
        app.track(&event(json!({"session_id": session}))).await.ok();
    }
    app.post("/refresh-metrics").send().await.ok();
    assert_eq!(backend.rows().await, 2);
    assert_eq!(app.metric(SERIES).await, Some(2.0));
    assert_eq!(app.get("/analytics/acme").send().await.ok()["metrics"]["total_conversations"], 2);
}

async fn what_reached_the_handler_is_counted(backend: Backend) {
    let app = TestApp::open(&backend).await;
    let requests = async || app.get("/health/detailed").send().await.ok()["requests"].clone();
    assert_eq!(
        requests().await,
        json!({"total": 0, "failed": 0, "error_rate_percent": 0.0, "last_request": null})
    );
    for _ in 0..2 {
        app.track(&event(json!({}))).await.ok();
    }
    app.track(&json!({})).await.refused(400, "No metrics data provided");
    let counted = requests().await;
    assert_eq!((&counted["total"], &counted["failed"]), (&json!(3), &json!(1)));
    assert_eq!(counted["error_rate_percent"], 33.33);
    assert_eq!(counted["last_request"], mlops_service::clock::timestamp(app.now()));
    let batch = json!({"events": [event(json!({})), event(json!({})), {"business_id": "acme"}]});
    app.post("/track/batch").json(&batch).send().await.ok();
    app.post("/track/batch").body("no batch").send().await;
    let counted = requests().await;
    assert_eq!((&counted["total"], &counted["failed"]), (&json!(7), &json!(3)), "an event of a batch is one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_refused_at_once() {
    let backend = Backend::postgres().await;
    let app = TestApp::with(
        &backend,
        &[("RATE_LIMIT_TRACK", "off"), ("INGEST_QUEUE_SIZE", "1"), ("SPOOL_DIR", "off")],
    )
    .await;
    backend.execute("create table held (id int); insert into held values (1)").await;
    let mut holder = <sqlx::PgConnection as sqlx::Connection>::connect(&backend.url).await.unwrap();
    sqlx::Executor::execute(&mut holder, "begin; lock table ai_metrics in exclusive mode").await.unwrap();
    let begun = std::time::Instant::now();
    let calls =
        (0..50).map(|i| app.post("/track").json(&event(json!({"session_id": format!("s{i}")}))).send());
    let replies = futures_util::future::join_all(calls).await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(3), "no answer takes longer than 3 s");
    let full = replies
        .iter()
        .filter(|reply| reply.status == 503 && reply.text().contains("event queue is full"))
        .count();
    assert!(full >= 40, "{full} of 50 found the queue full");
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        reply.refused(503, "Failed to store metrics in database");
        assert_eq!(reply.header("retry-after"), "1");
    }
    sqlx::Executor::execute(&mut holder, "rollback").await.unwrap();
    crate::harness::eventually("events are taken again", async || {
        app.track(&event(json!({}))).await.status == 200
    })
    .await;
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, text).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_may_be_compressed_with_gzip_and_nothing_else() {
    let backend = Backend::sqlite();
    let app = TestApp::open(&backend).await;
    let send = async |path: &str, coding: &str, body: Vec<u8>| {
        let call =
            app.post(path).header("content-type", "application/json").header("content-encoding", coding);
        call.body(body).send().await
    };
    let one = event(json!({})).to_string();
    send("/track", "gzip", gzip(one.as_bytes())).await.ok();
    send("/track", "identity", one.clone().into_bytes()).await.ok();
    let batch = json!({"events": [event(json!({})), event(json!({}))]}).to_string();
    send("/track/batch", "GZIP", gzip(batch.as_bytes())).await.ok();
    assert_eq!(backend.rows().await, 4);
    send("/track", "gzip", one.clone().into_bytes()).await.refused(400, "Bad Request");
    send("/track", "gzip", gzip(&vec![b' '; 65_537])).await.refused(413, "Payload Too Large");
    send("/track/batch", "gzip", gzip(&vec![b' '; 1_048_577])).await.refused(413, "Payload Too Large");
    for (path, coding, accepted) in [
        ("/track", "br", "gzip"),
        ("/track/batch", "gzip, gzip", "gzip"),
        ("/privacy/requests", "gzip", "identity"),
        ("/refresh-metrics", "deflate", "identity"),
    ] {
        let open = TestApp::with(&backend, &[("ALLOW_UNAUTHENTICATED_PRIVACY", "true")]).await;
        let call =
            open.post(path).header("content-type", "application/json").header("content-encoding", coding);
        let reply = call.body("{}").send().await;
        reply.refused(415, "Unsupported Media Type");
        assert_eq!(reply.header("accept-encoding"), accepted, "{path}");
    }
}
