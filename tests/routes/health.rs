//! `/health` and its kin.

use serde_json::json;

use crate::harness::{Backend, KEY, TestApp, on_every_backend};

on_every_backend! {
    health_in_detail,
    the_probes,
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_the_contracts() {
    let backend = Backend::sqlite();
    let app = TestApp::open(&backend).await;
    let expected = |port: &str, security: &str, app: &TestApp| {
        json!({"status": "healthy", "service": "mlops-service-prometheus",
               "timestamp": mlops_service::clock::timestamp(app.now()), "monitoring": "prometheus",
               "metrics_endpoint": "/metrics", "prometheus_port": port, "security": security})
    };
    assert_eq!(app.get("/health").send().await.ok(), expected("8001", "No authentication", &app));
    let app = TestApp::with(&backend, &[("MLOPS_API_KEY", KEY), ("PROMETHEUS_PORT", "9123")]).await;
    assert_eq!(
        app.get("/health").send().await.ok(),
        expected("9123", "API key authentication enabled", &app)
    );
}

#[test]
fn timestamps_have_microseconds_and_an_offset() {
    let at = "2024-01-15T10:30:00Z".parse().unwrap();
    assert_eq!(mlops_service::clock::timestamp(at), "2024-01-15T10:30:00.000000+00:00");
}

async fn health_in_detail(backend: Backend) {
    let app = TestApp::open(&backend).await;
    app.pass(chrono::TimeDelta::milliseconds(3_600_450));
    let mut body = app.get("/health/detailed").send().await.ok();
    let system = body["system"].take();
    assert!(system["memory_usage_mb"].as_f64().unwrap() > 1.0, "{system}");
    assert!(system["cpu_percent"].as_f64().unwrap() >= 0.0, "{system}");
    assert_eq!(system["process_id"], std::process::id());
    if backend.is_postgres() {
        let spool = body.as_object_mut().unwrap().remove("spool");
        assert_eq!(spool, Some(json!({"depth": 0, "oldest_seconds": null, "replayed": 0, "refused": 0})));
    }
    let started = mlops_service::clock::timestamp(app.app.started_at);
    assert_eq!(
        body,
        json!({
            "status": "healthy", "service": "mlops-service-prometheus", "version": env!("CARGO_PKG_VERSION"),
            "timestamp": mlops_service::clock::timestamp(app.now()), "environment": "development",
            "uptime": {"seconds": 3600.45, "hours": 1.0, "days": 0.04, "started_at": started},
            "system": null,
            "requests": {"total": 0, "failed": 0, "error_rate_percent": 0.0, "last_request": null},
            "health_checks": {"database_connected": true, "prometheus_enabled": true, "metrics_tracking": "active"},
            "endpoints": {"metrics": "/metrics", "health": "/health", "detailed_health": "/health/detailed",
                          "track": "/track", "analytics": "/analytics/<business_id>"}
        })
    );
}

async fn the_probes(backend: Backend) {
    let app = TestApp::guarded(&backend).await;
    for _ in 0..150 {
        assert_eq!(app.get("/health/live").send().await.ok(), json!({"status": "live"}));
    }
    assert_eq!(app.get("/health/ready").send().await.ok(), json!({"status": "ready"}));
    app.begin_stop();
    app.get("/health/ready").send().await.refused(503, "Service Unavailable");
    assert_eq!(app.get("/health/live").send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_production_only_holders_of_keys_learn_the_process_id() {
    let settings = [("ENVIRONMENT", "production"), ("MLOPS_API_KEY", KEY)];
    let app = TestApp::with(&Backend::sqlite(), &settings).await;
    let system = async |key: &str| {
        let reply = app.get("/health/detailed").header("x-api-key", key).send().await;
        reply.ok()["system"]["process_id"].clone()
    };
    assert!(system("").await.is_null());
    assert!(system("wrong").await.is_null());
    assert_eq!(system(KEY).await, std::process::id());
}
