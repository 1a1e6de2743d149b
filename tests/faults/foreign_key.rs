//! Events that violate a foreign key.

use serde_json::json;

use crate::harness::{Backend, LAB_TABLE, TestApp, event};

#[tokio::test(flavor = "multi_thread")]
async fn one_event_of_an_unknown_business_does_not_sink_the_others() {
    let backend = Backend::postgres().await;
    backend.execute(LAB_TABLE).await;
    backend
        .execute(
            "create table businesses (id text primary key, name text);
             insert into businesses values ('acme', 'Acme');
             alter table ai_metrics alter business_id type text,
                 add foreign key (business_id) references businesses (id) on delete cascade",
        )
        .await;
    let app = TestApp::open(&backend).await;
    let calls = (0..100).map(|i| {
        let business = if i % 10 == 3 { "nobody" } else { "acme" };
        app.post("/track")
            .json(&event(json!({"business_id": business, "session_id": format!("s-{i}")})))
            .send()
    });
    let replies = futures_util::future::join_all(calls).await;
    for (i, reply) in replies.iter().enumerate() {
        match i % 10 {
            3 => reply.refused(400, "Invalid value for field: business_id"),
            _ => assert_eq!(reply.status, 200, "{}", reply.text()),
        }
    }
    assert_eq!(backend.rows().await, 90);
    assert_eq!(backend.number("select sum(events) from ai_totals_now").await, 90);
    assert_eq!(app.metric("ai_response_time_seconds_count").await, Some(90.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_rule_of_the_database_refuses_its_event_alone() {
    let backend = Backend::postgres().await;
    backend.execute(LAB_TABLE).await;
    backend.execute("alter table ai_metrics add constraint secret_rule check (tokens_used < 100)").await;
    let app = TestApp::open(&backend).await;
    let track = async |tokens: i32| app.track(&event(json!({"tokens_used": tokens}))).await;
    let (good, bad) = tokio::join!(track(99), track(100));
    assert_eq!(good.status, 200);
    bad.refused(400, "Event refused by the database");
    assert!(!bad.text().contains("secret_rule"));
    assert_eq!(backend.rows().await, 1);
}
