//! What is logged, and what never is.

mod privacy;
mod security;

use serde_json::{Value, json};

use crate::harness::{Backend, KEY, Postgres, Service, event, http_client, on_every_backend};

on_every_backend! {
    no_line_at_any_level_holds_a_secret_or_what_a_caller_wrote,
}

/// Words that a caller writes into events, and secrets.
const NEVER: [&str; 9] = [
    "zq-business",
    "zq-session",
    "zq-conversation",
    "zq-intent",
    "zq-model",
    "zq-wrong-key",
    KEY,
    "zq-event-key",
    "zq-password",
];

async fn post(service: &Service, key: &str, body: String) -> u16 {
    let call = http_client().post(service.url("/track")).header("x-api-key", key).body(body);
    let call = call.header("content-type", "application/json").header("idempotency-key", "zq-event-key");
    call.send().await.unwrap().status().as_u16()
}

async fn no_line_at_any_level_holds_a_secret_or_what_a_caller_wrote(mut backend: Backend) {
    backend.url = backend.url.replace("postgres@", "postgres:zq-password@");
    let settings = [("MLOPS_API_KEY", KEY), ("RUST_LOG", "trace"), ("LOG_FORMAT", "json")];
    let mut service = Service::start(&backend, &settings);
    let told = event(
        json!({"business_id": "zq-business", "session_id": "zq-session", "intent_detected": "zq-intent",
                            "conversation_id": "zq-conversation", "model_name": "zq-model"}),
    );
    assert_eq!(post(&service, KEY, told.to_string()).await, 200);
    assert_eq!(post(&service, "zq-wrong-key", told.to_string()).await, 403);
    assert_eq!(post(&service, KEY, r#"{"business_id": "zq-business" oops"#.to_owned()).await, 400);
    let refused = event(json!({"business_id": "zq-business", "tokens_used": "zq-session"}));
    assert_eq!(post(&service, KEY, refused.to_string()).await, 400);
    let get = http_client().get(service.url("/analytics/zq-business?zq-session")).header("x-api-key", KEY);
    assert_eq!(get.send().await.unwrap().status(), 200);
    if backend.is_postgres() {
        let forbid =
            "alter table ai_metrics add constraint rule check (business_id <> 'zq-business') not valid";
        backend.execute(forbid).await;
        let call = http_client().post(service.url("/track")).header("x-api-key", KEY);
        let call = call.header("content-type", "application/json").body(told.to_string());
        assert_eq!(call.send().await.unwrap().status(), 400);
    }
    service.signal("TERM");
    service.wait();
    let log = service.log();
    assert!(log.lines().count() > 5, "{log}");
    for line in log.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("one object a line: {line}"));
    }
    for word in NEVER {
        assert!(!log.contains(word), "{word} in {}", log.lines().find(|line| line.contains(word)).unwrap());
    }
}

#[test]
fn logs_are_json_in_production_and_text_elsewhere_unless_they_are_told_otherwise() {
    let production = [("ENVIRONMENT", "production"), ("MLOPS_API_KEY", KEY)];
    let text = [production[0], production[1], ("LOG_FORMAT", "text")];
    for (settings, json) in [(&production[..], true), (&text, false), (&[("ENVIRONMENT", "staging")], false)]
    {
        let mut service = Service::start(&Backend::sqlite(), settings);
        service.signal("TERM");
        service.wait();
        let log = service.log();
        assert!(log.contains("shutting down"), "{log}");
        assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok() == json), "{log}");
    }
}

#[test]
fn production_warns_when_customers_are_not_told_who_is_responsible_and_whom_to_ask() {
    let production = [("ENVIRONMENT", "production"), ("MLOPS_API_KEY", KEY)];
    let told = [("CONTROLLER_NAME", "Example Dental Ltd"), ("PRIVACY_CONTACT", "privacy@example.com")];
    for (more, expected) in
        [(&[][..], [1, 1]), (&told[..1], [0, 1]), (&told[1..], [1, 0]), (&told[..], [0, 0])]
    {
        let settings: Vec<_> = production.iter().chain(more).copied().collect();
        let mut service = Service::start(&Backend::sqlite(), &settings);
        service.signal("TERM");
        service.wait();
        let log = service.log();
        let lines =
            |name: &str| log.lines().filter(|line| line.contains(&format!("{name} is not set"))).count();
        assert_eq!([lines("CONTROLLER_NAME"), lines("PRIVACY_CONTACT")], expected, "{log}");
        assert!(!log.contains("Example Dental"), "a name may be a person's");
    }
    let open = Service::start(&Backend::sqlite(), &[]);
    assert!(!open.log().contains("PRIVACY_CONTACT"), "in development nobody is");
}

#[test]
fn the_banner_tells_how_the_service_runs_and_no_password() {
    let open = Service::start(&Backend::sqlite(), &[]);
    assert!(open.banner.contains("⚠️  Security: API Key Authentication DISABLED (Development Mode)"));
    assert!(open.banner.contains("🚦 Rate Limiting: ENABLED"));
    assert!(open.banner.contains("💾 Database: SQLite at "));
    assert!(open.banner.contains(&format!("🌐 http://localhost:{}/", open.port)));
    let server = Postgres::shared();
    let url = format!("postgresql://postgres:hunter2@localhost:{}/postgres", server.port());
    let backend = Backend { url, folder: std::sync::Arc::new(tempfile::tempdir().unwrap()) };
    let guarded = Service::start(&backend, &[("MLOPS_API_KEY", KEY)]);
    assert!(guarded.banner.contains("🔐 Security: API Key Authentication ENABLED"));
    let place = format!("💾 Database: Postgres at localhost:{}/postgres", server.port());
    assert!(guarded.banner.contains(&place), "{}", guarded.banner);
    assert!(!guarded.banner.contains("hunter2") && !guarded.log().contains("hunter2"));
}
