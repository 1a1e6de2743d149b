//! Failed attempts and what they run into, and what is counted of them.

use axum::http::Method;
use chrono::TimeDelta;
use serde_json::json;

use super::keys::{admin, analytics, create, track};
use crate::harness::{Backend, KEY, TestApp, on_every_backend};

on_every_backend! {
    an_unknown_id_and_a_wrong_secret_are_answered_alike,
    failed_attempts_run_into_a_quota_across_routes_and_valid_keys_do_not,
    no_key_is_looked_up_beyond_the_quota_of_failed_attempts,
    what_the_service_cannot_tell_is_no_failed_attempt,
    a_key_that_another_replica_made_uses_up_no_failed_attempt,
    every_security_event_is_counted,
}

/// A service that takes so many failed attempts.
async fn with_failures(backend: &Backend, quota: &str) -> TestApp {
    TestApp::with(backend, &[("MLOPS_API_KEY", KEY), ("RATE_LIMIT_AUTH_FAILURES", quota)]).await
}

/// A key that nobody has made.
fn made_up() -> String {
    format!("mlops_{}_{}", "0".repeat(16), "0".repeat(64))
}

async fn an_unknown_id_and_a_wrong_secret_are_answered_alike(backend: Backend) {
    let app = TestApp::with(&backend, &[("MLOPS_API_KEY", KEY), ("RATE_LIMIT_AUTH_FAILURES", "off")]).await;
    let (id, key) = create(&app, json!({"name": "web", "scopes": ["analytics"]})).await;
    let guesses = [id.as_str(), "0123456789abcdef"].map(|id| format!("mlops_{id}_{}", "0".repeat(64)));
    let answers = async || {
        let (known, unknown) =
            (analytics(&app, "acme", &guesses[0]).await, analytics(&app, "acme", &guesses[1]).await);
        assert_eq!((known.status, &known.body), (unknown.status, &unknown.body));
        known.status.as_u16()
    };
    assert_eq!(answers().await, 403);
    backend.execute("alter table mlops_api_keys rename to away").await;
    assert_eq!(answers().await, 503, "neither is answered from memory");
    assert_eq!(analytics(&app, "acme", &key).await.status, 200);
}

async fn failed_attempts_run_into_a_quota_across_routes_and_valid_keys_do_not(backend: Backend) {
    let app = with_failures(&backend, "4/minute").await;
    let (_, key) = create(&app, json!({"name": "web", "scopes": ["analytics"]})).await;
    let unknown = made_up();
    assert_eq!(app.post("/track").send().await.status, 401);
    assert_eq!(analytics(&app, "acme", "wrong").await.status, 403);
    assert_eq!(analytics(&app, "acme", &unknown).await.status, 403);
    assert_eq!(app.post("/refresh-metrics").send().await.status, 401);
    for guess in ["wrong", &unknown] {
        let refused = analytics(&app, "acme", guess).await;
        refused.refused(429, "429 Too Many Requests");
        assert_eq!(refused.json()["message"], "4 per 1 minute");
        assert!((1..=60).contains(&refused.header("retry-after").parse().unwrap()));
        assert_eq!(refused.header("x-ratelimit-limit"), "4");
    }
    for valid in [KEY, &key] {
        assert_eq!(analytics(&app, "acme", valid).await.status, 200, "from the same address");
    }
    assert_eq!(app.get("/health").header("x-api-key", "wrong").send().await.status, 200, "public is public");
    app.pass(TimeDelta::minutes(1));
    assert_eq!(analytics(&app, "acme", "wrong").await.status, 403);
}

async fn no_key_is_looked_up_beyond_the_quota_of_failed_attempts(backend: Backend) {
    let app = with_failures(&backend, "2/minute").await;
    let (id, key) = create(&app, json!({"name": "web", "scopes": ["analytics"]})).await;
    let guesses = [made_up(), format!("mlops_{id}_{}", "0".repeat(64))];
    for guess in &guesses {
        assert_eq!(analytics(&app, "acme", guess).await.status, 403);
    }
    // With this, whoever asks the database is answered 503.
    backend.execute("alter table mlops_api_keys rename to away").await;
    for guess in &guesses {
        assert_eq!(analytics(&app, "acme", guess).await.status, 429);
    }
    assert_eq!(analytics(&app, "acme", &key).await.status, 200);
}

async fn what_the_service_cannot_tell_is_no_failed_attempt(backend: Backend) {
    let app = with_failures(&backend, "2/minute").await;
    assert_eq!(analytics(&app, "acme", "wrong").await.header("x-ratelimit-remaining"), "49");
    backend.execute("alter table mlops_api_keys rename to away").await;
    for _ in 0..5 {
        let unknown = analytics(&app, "acme", &made_up()).await;
        unknown.refused(503, "Service Unavailable");
        assert_eq!(unknown.header("x-ratelimit-remaining"), "49", "nor does it use up the route's quota");
    }
    backend.execute("alter table away rename to mlops_api_keys").await;
    assert_eq!(analytics(&app, "acme", &made_up()).await.status, 403);
    assert_eq!(analytics(&app, "acme", &made_up()).await.status, 429);
}

async fn a_key_that_another_replica_made_uses_up_no_failed_attempt(backend: Backend) {
    let (maker, app) = (TestApp::guarded(&backend).await, with_failures(&backend, "1/minute").await);
    let wish = json!({"name": "web", "scopes": ["analytics"]});
    let (id, key) = create(&maker, wish.clone()).await;
    assert_eq!(analytics(&app, "acme", &key).await.status, 200);
    let rotate = maker.post(&format!("/admin/keys/{id}/rotate")).json(&json!({"grace": "0s"}));
    let rotated = admin(rotate).await.ok();
    assert_eq!(analytics(&app, "acme", rotated["key"].as_str().unwrap()).await.status, 200);
    assert_eq!(analytics(&app, "acme", &key).await.status, 403, "the first failed attempt");
    let (_, later) = create(&maker, wish).await;
    assert_eq!(analytics(&app, "acme", &later).await.status, 429, "nothing is looked up any more");
    app.app.access.key_cache().read().await.unwrap();
    assert_eq!(analytics(&app, "acme", &later).await.status, 200, "it is known without");
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_failed_attempts_a_minute_are_heard_from_each_address() {
    let backend = Backend::sqlite();
    let app = TestApp::guarded(&backend).await;
    let attempt = async |ip: &str, key: &str| {
        app.get("/analytics/acme").from(ip).header("x-api-key", key).send().await.status.as_u16()
    };
    for _ in 0..20 {
        assert_eq!(attempt("203.0.113.1", "wrong").await, 403);
    }
    assert_eq!(attempt("203.0.113.1", "wrong").await, 429);
    assert_eq!(attempt("203.0.113.2", "wrong").await, 403, "another address has its own");
    for ip in ["203.0.113.1", "203.0.113.2"] {
        assert_eq!(attempt(ip, KEY).await, 200);
    }
    let near = app.metric("rate_limit_near_total{route=\"auth_failures\"}").await;
    assert_eq!(near, Some(1.0), "told apart from the quotas of routes");
}

async fn every_security_event_is_counted(backend: Backend) {
    let settings =
        [("MLOPS_API_KEY", KEY), ("FLOOD_LIMIT_PER_SECOND", "40"), ("RATE_LIMIT_HEALTH", "1/minute")];
    let app = TestApp::with(&backend, &settings).await;
    let count = async |event: &str| app.metric(&format!("security_events_total{{event=\"{event}\"}}")).await;
    assert_eq!(count("auth_missing").await, Some(0.0), "there from the start");
    let wish = json!({"name": "a", "scopes": ["analytics"], "business_id": "acme", "expires": "1h"});
    let (id, key) = create(&app, wish).await;
    app.post("/track").send().await;
    analytics(&app, "acme", "wrong").await;
    track(&app, "acme", &key).await;
    analytics(&app, "other", &key).await;
    app.get("/health").send().await;
    app.get("/health").send().await;
    let rotated = admin(app.post(&format!("/admin/keys/{id}/rotate"))).await.ok();
    app.pass(TimeDelta::hours(1));
    analytics(&app, "acme", rotated["key"].as_str().unwrap()).await;
    admin(app.call(Method::DELETE, &format!("/admin/keys/{id}"))).await;
    while app.get("/health").send().await.json()["message"] != "40 per 1 second" {}
    for event in [
        "auth_missing",
        "auth_invalid",
        "auth_expired",
        "scope_denied",
        "business_denied",
        "flood_limited",
        "key_created",
        "key_rotated",
        "key_revoked",
    ] {
        assert_eq!(count(event).await, Some(1.0), "{event}");
    }
    assert!(count("rate_limited").await >= Some(1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_shadow_mode_nothing_is_refused_and_everything_is_counted() {
    let backend = Backend::sqlite();
    let settings = [
        ("MLOPS_API_KEY", KEY),
        ("RATE_LIMIT_MODE", "shadow"),
        ("RATE_LIMIT_TRACK", "5/hour"),
        ("RATE_LIMIT_AUTH_FAILURES", "1/hour"),
    ];
    let app = TestApp::with(&backend, &settings).await;
    for left in [4, 3, 2, 1, 0, 0, 0] {
        let reply = track(&app, "acme", KEY).await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("x-ratelimit-remaining")),
            (200, left.to_string().as_str())
        );
    }
    for _ in 0..3 {
        assert_eq!(analytics(&app, "acme", "wrong").await.status, 403);
    }
    let count = async |name: &str, route: &str| app.metric(&format!("{name}{{route=\"{route}\"}}")).await;
    assert_eq!(count("rate_limit_shadow_total", "/track").await, Some(2.0));
    assert_eq!(count("rate_limit_shadow_total", "auth_failures").await, Some(2.0));
    assert_eq!(count("rate_limit_shadow_total", "/analytics/{business_id}").await, None);
    assert_eq!(count("rate_limit_near_total", "/track").await, Some(1.0));
    assert_eq!(app.metric("security_events_total{event=\"rate_limited\"}").await, Some(0.0));
}
