//! `POST /refresh-metrics`, on both databases.

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::{Backend, TestApp, event, insert_as_the_app, on_every_backend};

on_every_backend! {
    rows_of_other_programs_are_counted,
    what_is_tracked_while_the_totals_are_read_counts_once,
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

async fn what_is_tracked_while_the_totals_are_read_counts_once(backend: Backend) {
    let app = TestApp::open(&backend).await;
    for round in 1..=40 {
        let events = (0..20).map(|n| event(json!({"business_id": format!("business-{round}-{}", n % 3)})));
        let app = &app;
        let tracked = join_all(events.map(|event| async move { app.track(&event).await.ok() }));
        let refreshed = join_all((0..3).map(|_| async { app.post("/refresh-metrics").send().await.ok() }));
        tokio::join!(tracked, refreshed);
        let counted = app.metric("ai_response_time_seconds_count").await;
        assert_eq!(counted, Some(f64::from(round * 20)));
        let series = format!(
            r#"ai_requests_total{{business_id="business-{round}-0",response_type="booking",intent="appointment"}}"#
        );
        assert_eq!(app.metric(&series).await, Some(7.0));
    }
}
