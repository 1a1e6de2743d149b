//! `GET /metrics`.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::harness::{Backend, TestApp, event, insert_as_the_app, on_every_backend};

on_every_backend! {
    a_restart_keeps_every_counter,
    each_replica_shows_what_the_others_wrote,
    handoffs_are_told_by_their_reason,
    past_the_maximum_businesses_are_one_other,
    a_full_label_is_the_same_on_every_replica_and_after_a_restart,
    no_counter_goes_down_when_a_label_fills_up,
    labels_with_contacts_are_redacted,
}

fn own(text: &str) -> Vec<&str> {
    let names = ["ai_", "appointments_", "human_handoffs_"];
    text.lines().filter(|line| names.iter().any(|name| line.starts_with(name))).collect()
}

async fn a_restart_keeps_every_counter(backend: Backend) {
    let app = TestApp::open(&backend).await;
    for i in 0..50_usize {
        let (response_type, success_rate) = (["booking", "error"][i % 2], [0.25, 0.5, 0.75][i % 3]);
        let changes = json!({"business_id": format!("b{}", i % 3), "model_name": format!("m{}", i % 2),
            "response_type": response_type, "response_time_ms": i * 300, "api_cost_usd": 0.000_1,
            "human_handoff_requested": i % 5 == 0, "success_rate": success_rate});
        app.track(&event(changes)).await.ok();
    }
    let before = app.metrics().await;
    app.stop().await;
    let app = TestApp::open(&backend).await;
    let after = app.metrics().await;
    assert!(own(&before).len() > 40, "{before}");
    assert_eq!(own(&after), own(&before));
    app.post("/refresh-metrics").send().await.ok();
    assert_eq!(own(&app.metrics().await), own(&before));
}

async fn each_replica_shows_what_the_others_wrote(backend: Backend) {
    let (one, two) = (TestApp::open(&backend).await, TestApp::open(&backend).await);
    for _ in 0..3 {
        one.track(&event(json!({}))).await.ok();
        two.track(&event(json!({}))).await.ok();
    }
    let series = r#"ai_requests_total{business_id="acme",response_type="booking",intent="appointment"}"#;
    assert_eq!(one.metric(series).await, Some(3.0), "its own until it reads again");
    one.post("/refresh-metrics").send().await.ok();
    assert_eq!(one.metric(series).await, Some(6.0));
    two.track(&event(json!({}))).await.ok();
    assert_eq!(one.metric(series).await, Some(6.0));
    let settings = [("METRICS_REFRESH_SECONDS", "1")];
    let three = TestApp::with(&backend, &settings).await;
    one.track(&event(json!({}))).await.ok();
    crate::harness::eventually("it reads by itself", async || three.metric(series).await == Some(8.0)).await;
}

async fn handoffs_are_told_by_their_reason(backend: Backend) {
    let app = TestApp::open(&backend).await;
    for response_type in ["error", "booking", "unknown"] {
        app.track(&event(json!({"response_type": response_type, "human_handoff_requested": true})))
            .await
            .ok();
    }
    let handoffs = async |reason: &str| {
        app.metric(&format!(r#"human_handoffs_total{{business_id="acme",reason="{reason}"}}"#)).await
    };
    assert_eq!((handoffs("error").await, handoffs("complex_query").await), (Some(1.0), Some(2.0)));
}

async fn past_the_maximum_businesses_are_one_other(backend: Backend) {
    let settings = [("METRICS_MAX_BUSINESSES", "2"), ("RATE_LIMIT_TRACK", "off")];
    let app = TestApp::with(&backend, &settings).await;
    for business in ["zebra", "acme", "bolt", "cafe", "zebra"] {
        app.track(&event(json!({"business_id": business}))).await.ok();
    }
    let counts = async |app: &TestApp| {
        let series = |business: &str| {
            format!(
                r#"ai_requests_total{{business_id="{business}",response_type="booking",intent="appointment"}}"#
            )
        };
        let mut counts = Vec::new();
        for business in ["zebra", "acme", "bolt", "other"] {
            counts.push(app.metric(&series(business)).await);
        }
        counts
    };
    let expected = [Some(2.0), Some(1.0), None, Some(2.0)];
    assert_eq!(counts(&app).await, expected);
    let again = TestApp::with(&backend, &settings).await;
    assert_eq!(counts(&again).await, expected, "a restart gives the same businesses their labels");
    assert_eq!(app.get("/analytics/bolt").send().await.status, 200);
}

async fn a_full_label_is_the_same_on_every_replica_and_after_a_restart(backend: Backend) {
    let settings = [("METRICS_MAX_BUSINESSES", "20"), ("RATE_LIMIT_TRACK", "off")];
    let apps = [TestApp::with(&backend, &settings).await, TestApp::with(&backend, &settings).await];
    let names: Vec<String> = (0..60).rev().map(|number| format!("business-{number}")).collect();
    let tracked = names.iter().enumerate().map(|(number, name)| {
        let app = &apps[number % 2];
        async move { app.track(&event(json!({"business_id": name}))).await.ok() }
    });
    futures_util::future::join_all(tracked).await;
    let shown = async |app: &TestApp| {
        let reply = app.get("/metrics").send().await;
        let requests = reply.text().lines().filter(|line| line.starts_with("ai_requests_total"));
        requests.map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    for app in &apps {
        assert_eq!(app.post("/refresh-metrics").send().await.ok()["status"], "success");
    }
    let before = [shown(&apps[0]).await, shown(&apps[1]).await];
    assert_eq!(before[0], before[1]);
    assert_eq!(before[0].len(), 21, "20 businesses and the others");
    let folded = r#"metrics_folded_events_total{label="business_id"}"#;
    assert_eq!(apps[0].metric(folded).await, Some(40.0));
    assert_eq!(shown(&TestApp::with(&backend, &settings).await).await, before[0]);
}

async fn no_counter_goes_down_when_a_label_fills_up(backend: Backend) {
    let settings = [("METRICS_MAX_BUSINESSES", "20"), ("RATE_LIMIT_TRACK", "off")];
    let app = TestApp::with(&backend, &settings).await;
    let tracked = (0..60).rev().map(|number| {
        let app = &app;
        async move { app.track(&event(json!({"business_id": format!("business-{number}")}))).await.ok() }
    });
    futures_util::future::join_all(tracked).await;
    let counters = async || {
        let reply = app.get("/metrics").send().await;
        let lines = reply.text().lines().filter(|line| line.starts_with("ai_requests_total"));
        lines.map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let before = counters().await;
    app.post("/refresh-metrics").send().await.ok();
    assert_eq!(counters().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_are_escaped_and_the_format_is_prometheus_own() {
    let backend = Backend::sqlite();
    let app = TestApp::open(&backend).await;
    app.track(&event(json!({"business_id": r#"a"b\c{},="#, "intent_detected": "ümlaut 🦀"}))).await.ok();
    let reply = app.get("/metrics").send().await;
    assert_eq!(reply.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert!(reply.text().contains(r#"business_id="a\"b\\c{},=""#), "{}", reply.text());
    let version = env!("CARGO_PKG_VERSION");
    let info = format!(
        r#"ai_system_info_info{{service="ai-appointment-setter",version="{version}",monitoring="prometheus"}} 1"#
    );
    assert!(reply.text().contains(&info));
    promtool_finds_nothing(reply.text());
}

/// Asks Prometheus' own tool for complaints.
fn promtool_finds_nothing(text: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed by scripts/test");
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let complaints = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && complaints.is_empty(), "{complaints}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_pages_are_rendered_than_memory_has_room_for() {
    let backend = Backend::sqlite();
    let app = TestApp::open(&backend).await;
    let mut held = Vec::new();
    while let Some(page) = app.app.metrics.page(false, None).await {
        held.push(page);
        assert!(held.len() <= 4, "{} pages are held", held.len());
    }
    let reply = app.get("/metrics").send().await;
    reply.refused(503, "Service Unavailable");
    assert_eq!(reply.header("retry-after"), "1");
    held.truncate(3);
    for _ in 0..10 {
        assert_eq!(app.get("/metrics").send().await.status, 200, "what was read takes no room");
    }
}

/// What stands in `text` of the family `name`, without its help.
fn family<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let head = format!("# TYPE {name} ");
    let from = text.lines().skip_while(|line| !line.starts_with(&head));
    from.take_while(|line| !line.starts_with("# HELP")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn types_labels_and_buckets_are_the_contracts() {
    let backend = Backend::sqlite();
    let app = TestApp::open(&backend).await;
    for ms in [100, 101, 5_000, 10_001] {
        app.track(&event(json!({"response_time_ms": ms, "human_handoff_requested": true}))).await.ok();
    }
    let text = app.metrics().await;
    let answer = r#"business_id="acme",response_type="booking",intent="appointment""#;
    let model = r#"business_id="acme",model_name="gemini-1.5-flash""#;
    for (name, labels, kind, value) in [
        ("ai_requests_total", answer, "counter", "4"),
        ("ai_success_rate", r#"business_id="acme""#, "gauge", "0.95"),
        ("ai_tokens_used_total", model, "counter", "300"),
        ("ai_api_cost_usd_total", model, "counter", "0.008"),
        ("appointments_requested_total", r#"business_id="acme""#, "counter", "4"),
        ("appointments_booked_total", r#"business_id="acme""#, "counter", "0"),
    ] {
        let expected = [format!("# TYPE {name} {kind}"), format!("{name}{{{labels}}} {value}")];
        assert_eq!(family(&text, name), expected);
    }
    let bucket =
        |(bound, count): (&str, u32)| format!(r#"ai_response_time_seconds_bucket{{le="{bound}"}} {count}"#);
    let buckets = [("0.1", 1), ("0.5", 2), ("1", 2), ("2", 2), ("5", 3), ("10", 3), ("+Inf", 4)].map(bucket);
    let histogram = family(&text, "ai_response_time_seconds");
    assert_eq!(histogram[0], "# TYPE ai_response_time_seconds histogram");
    assert_eq!(histogram[1..8], buckets);
    assert_eq!(histogram[8..], ["ai_response_time_seconds_sum 15.202", "ai_response_time_seconds_count 4"]);
    assert_eq!(family(&text, "human_handoffs_total")[0], "# TYPE human_handoffs_total counter");
    assert_eq!(family(&text, "ai_system_info_info")[0], "# TYPE ai_system_info_info gauge");
    for (name, kind) in [("http_requests_total", "counter"), ("http_request_duration_seconds", "histogram")] {
        assert_eq!(family(&text, name)[0], format!("# TYPE {name} {kind}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_metrics_name_the_pattern_and_never_the_path() {
    let backend = Backend::sqlite();
    let app = TestApp::guarded(&backend).await;
    app.get("/analytics/secret-business").send().await;
    app.get("/wp-login.php").send().await;
    app.call("BREW".parse().unwrap(), "/health").send().await;
    let text = app.metrics().await;
    for series in [
        r#"http_requests_total{method="GET",route="/analytics/{business_id}",status="401"} 1"#,
        r#"http_requests_total{method="GET",route="unmatched",status="404"} 1"#,
        r#"http_requests_total{method="other",route="/health",status="405"} 1"#,
        r#"http_request_duration_seconds_count{method="GET",route="/analytics/{business_id}"} 1"#,
    ] {
        assert!(text.lines().any(|line| line == series), "{series} in\n{text}");
    }
    assert!(!text.contains("secret-business") && !text.contains("wp-login"));
    for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds"] {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name}");
    }
}

/// The labels of an event are public.
async fn labels_with_contacts_are_redacted(backend: Backend) {
    let app =
        TestApp::with(&backend, &[("RATE_LIMIT_TRACK", "off"), ("RATE_LIMIT_REFRESH_METRICS", "off")]).await;
    assert_eq!(app.metric("labels_redacted_total").await, Some(0.0));
    let told = event(
        json!({"intent_detected": "mail ana.zqana@example.com", "response_type": "call 0151 2345678",
                            "model_name": "gpt-4o-2024-08-06", "event_id": "8e03978e-40d5-43dd-bc93-6894a57f9324"}),
    );
    for _ in 0..2 {
        assert_eq!(app.track(&told).await.status, 200);
    }
    let requests = r#"ai_requests_total{business_id="acme",response_type="unknown",intent="unknown"}"#;
    assert_eq!(app.metric(requests).await, Some(1.0), "the event is kept");
    let tokens = r#"ai_tokens_used_total{business_id="acme",model_name="gpt-4o-2024-08-06"}"#;
    assert_eq!(app.metric(tokens).await, Some(75.0));
    assert_eq!(app.metric("labels_redacted_total").await, Some(2.0), "a repeat is no second one");
    insert_as_the_app(&backend, "s-2", 20).await;
    backend
        .execute("update ai_metrics set intent_detected = 'ana.zqana@example.com' where event_id is null")
        .await;
    assert!(app.app.ingest.refresh().await);
    assert_eq!(app.metric("labels_redacted_total").await, Some(3.0), "also of a row of the app");
    let metrics = app.metrics().await;
    assert!(!metrics.contains("zqana") && !metrics.contains("2345678"));
}
