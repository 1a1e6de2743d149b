//! The lab's exercises, by a real `curl` on a real socket. The binary is that of the tests' own profile, which differs from
//! a release in its optimization alone; `cargo test --release lab` runs them on the release itself.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Backend, KEY, Service, on_every_backend};

on_every_backend! {
    the_exercises_work_as_printed,
}

/// Runs a command line of the lab with the service's port in the place of 5001.
fn shell(service: &Service, line: &str) -> String {
    let line = line.replace("localhost:5001", &format!("localhost:{}", service.port));
    let output = Command::new("bash").args(["-c", &line]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn json_of(service: &Service, line: &str) -> Value {
    serde_json::from_str(&shell(service, line)).unwrap()
}

async fn the_exercises_work_as_printed(backend: Backend) {
    let open = Service::start(&backend, &[]);
    assert_eq!(json_of(&open, "curl http://localhost:5001/health")["status"], "healthy");
    drop(open);
    let service = Service::start(&backend, &[("MLOPS_API_KEY", KEY)]);
    rate_limiting(&service);
    api_keys(&service);
    assert_eq!(backend.rows().await, 1);
}

fn rate_limiting(service: &Service) {
    let head = shell(service, "curl -I http://localhost:5001/health").to_lowercase();
    for line in
        ["http/1.1 200 ok", "x-ratelimit-limit: 100", "x-ratelimit-remaining: 99", "x-ratelimit-reset: 1"]
    {
        assert!(head.contains(line), "{line} in {head}");
    }
    // One request of the minute is used: the 100th of the loop is the 101st.
    let printed = shell(
        service,
        "for i in {1..101}; do\n  curl -s http://localhost:5001/health\n  echo \"Request $i\"\ndone",
    );
    let answers: Vec<&str> = printed.split_inclusive("Request ").collect();
    let refused =
        printed.matches(r#"{"error":"429 Too Many Requests","message":"100 per 1 minute"}"#).count();
    assert_eq!((printed.matches(r#""status":"healthy""#).count(), refused), (99, 2));
    assert!(answers[99].contains("429"), "{}", answers[99]);
}

fn api_keys(service: &Service) {
    let without = r#"curl -X POST http://localhost:5001/track \
  -H "Content-Type: application/json" \
  -d '{
    "business_id": "test",
    "response_time_ms": 100,
    "tokens_used": 50
  }'"#;
    let expected = json!({"error": "Unauthorized", "message": "API key required. Include X-API-Key header."});
    assert_eq!(json_of(service, without), expected);
    let wrong = without.replace("  -d", "  -H \"X-API-Key: wrong-key-here\" \\\n  -d");
    assert_eq!(json_of(service, &wrong), json!({"error": "Forbidden", "message": "Invalid API key"}));
    let right = r#"curl -X POST http://localhost:5001/track \
  -H "Content-Type: application/json" \
  -H "X-API-Key: YOUR_API_KEY" \
  -d '{
    "business_id": "test-business",
    "response_time_ms": 150,
    "tokens_used": 75,
    "api_cost_usd": 0.002,
    "intent_detected": "appointment",
    "response_type": "booking",
    "appointment_requested": false
  }'"#;
    let mut answer = json_of(service, &right.replace("YOUR_API_KEY", KEY));
    assert!(answer["timestamp"].take().as_str().is_some_and(|at| at.ends_with("+00:00")));
    assert_eq!(
        answer,
        json!({"status": "success", "message": "Metrics tracked successfully", "prometheus_updated": true,
               "database_stored": true, "timestamp": null})
    );
}
