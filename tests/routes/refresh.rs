//! `POST /refresh-metrics`, on both databases.

use serde_json::json;

use crate::harness::{Backend, TestApp, insert_as_the_app, on_every_backend};

on_every_backend! {
    rows_of_other_programs_are_counted,
}

async fn rows_of_other_programs_are_counted(backend: Backend) {
    let app = TestApp::open(&backend).await;
    let series = r#"ai_requests_total{business_id="acme",response_type="booking",intent="appointment"}"#;
    for (session, counted) in [("s-1", 1.0), ("s-2", 2.0)] {
        insert_as_the_app(&backend, session, 0).await;
        let reply =
            app.post("/refresh-metrics").header("content-type", "text/plain").body("anything").send().await;
        let answer = json!({"status": "success", "message": "Prometheus metrics refreshed from database",
                            "timestamp": mlops_service::clock::timestamp(app.now())});
        assert_eq!(reply.ok(), answer);
        assert_eq!(app.metric(series).await, Some(counted));
    }
    let analytics = app.get("/analytics/acme").send().await.ok();
    assert_eq!(analytics["metrics"]["total_conversations"], 2);
}
