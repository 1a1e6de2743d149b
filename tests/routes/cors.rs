//! What pages of other origins may do.

use axum::http::Method;

use crate::harness::{Backend, KEY, Reply, TestApp};

async fn preflight(app: &TestApp, origin: &str) -> Reply {
    let call = app.call(Method::OPTIONS, "/track").header("origin", origin);
    let call = call.header("access-control-request-method", "POST");
    call.header("access-control-request-headers", "content-type,x-api-key").send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn in_development_the_receptionist_app_may_call() {
    let backend = Backend::sqlite();
    let app = TestApp::guarded(&backend).await;
    let reply = preflight(&app, "http://localhost:3000").await;
    assert!([200, 204].contains(&reply.status.as_u16()));
    assert_eq!(reply.header("access-control-allow-origin"), "http://localhost:3000");
    assert!(reply.header("access-control-allow-headers").contains("x-api-key"));
    assert!(reply.header("access-control-allow-methods").contains("POST"));
    assert_eq!(preflight(&app, "http://evil.example").await.header("access-control-allow-origin"), "");
    let reply = app.get("/health").header("origin", "http://localhost:3000").send().await;
    assert_eq!(reply.header("access-control-allow-origin"), "http://localhost:3000");
    assert!(reply.header("access-control-expose-headers").contains("x-ratelimit-remaining"));
    let reply = app.get("/health").send().await;
    assert_eq!((reply.header("access-control-expose-headers"), reply.header("vary")), ("", "origin"));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_production_nobody_may_unless_it_is_set() {
    let backend = Backend::sqlite();
    let production = [("ENVIRONMENT", "production"), ("MLOPS_API_KEY", KEY)];
    let app = TestApp::with(&backend, &production).await;
    assert_eq!(preflight(&app, "http://localhost:3000").await.header("access-control-allow-origin"), "");
    assert!(app.get("/health").send().await.header("strict-transport-security").contains("max-age"));
    let origins = ("CORS_ALLOWED_ORIGINS", "https://app.example.com, https://b.example.com");
    let app = TestApp::with(&backend, &[production[0], production[1], origins]).await;
    let reply = preflight(&app, "https://b.example.com").await;
    assert_eq!(reply.header("access-control-allow-origin"), "https://b.example.com");
}
