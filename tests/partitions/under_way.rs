//! While rows are copied.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use super::{assert_ids, begun, complete, done, insert, lab, refused};
use crate::harness::{Backend, Customer, TestApp, command, event, eventually, insert_as_the_app};

/// What is in one table and not in the other.
const DIFFERENCE: &str = "select count(*) from (
    (select * from ai_metrics except all select * from ai_metrics_by_month) union all
    (select * from ai_metrics_by_month except all select * from ai_metrics)) difference";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_and_deleted_meanwhile_follows() {
    let backend = lab().await;
    insert(&backend, 5_000, "now() - n * interval '1 hour'").await;
    let mut partitioning = begun(&backend).await;
    let copied = backend.number("select copied from mlops_partition_copy").await;
    assert!((1..5_000).contains(&copied), "{copied}");
    // On both sides of what is copied: changes of rows, of their times, of their ids, and deletions.
    backend
        .execute(
            "update ai_metrics set intent_detected = 'changed' where id % 7 = 0;
             update ai_metrics set created_at = null where id % 11 = 0;
             update ai_metrics set event_id = gen_random_uuid() where id % 13 = 0;
             update ai_metrics set event_id = null where id % 17 = 0;
             delete from ai_metrics where id % 5 = 0",
        )
        .await;
    insert(&backend, 100, "now()").await;
    insert_as_the_app(&backend, "s", 3).await;
    while !partitioning.copy_some().await.unwrap().is_done {
        backend
            .execute(
                "delete from ai_metrics where id in (select id from ai_metrics order by random() limit 20)",
            )
            .await;
        insert(&backend, 10, "now()").await;
    }
    assert_eq!(backend.number(DIFFERENCE).await, 0);
    let rows = backend.rows().await;
    partitioning.verify().await.unwrap();
    partitioning.switch().await.unwrap();
    assert_eq!(backend.rows().await, rows);
    assert_ids(&backend).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turnover_that_is_killed_goes_on_where_it_was() {
    let backend = lab().await;
    insert(&backend, 60_000, "now() - n * interval '1 minute'").await;
    let mut child = command(&backend, &[])
        .args(["partition", "--yes"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let copied = async || {
        let there = "select count(to_regclass('mlops_partition_copy'))";
        if backend.number(there).await == 0 {
            return 0;
        }
        backend.number("select max(rows) from mlops_partition_copy").await
    };
    eventually("some are copied", async || copied().await > 0).await;
    // A session of its own: another process is refused meanwhile.
    assert!(refused(&backend, &["--yes"]).contains("another process"));
    child.kill().unwrap();
    child.wait().unwrap();
    let before = copied().await;
    assert!(before > 0 && before < 60_000, "{before}");
    insert(&backend, 500, "now()").await;
    backend.execute("delete from ai_metrics where id % 3 = 0").await;
    assert!(done(&backend, &[]).contains("go on copying"));
    let rows = backend.rows().await;
    // The server notices a while later that the process is gone, and frees its lock then.
    let mut again = Command::new("true").output().unwrap();
    for _ in 0..100 {
        again = command(&backend, &[]).args(["partition", "--yes"]).output().unwrap();
        if again.status.success() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    assert_eq!(backend.rows().await, rows);
    assert_ids(&backend).await;
    assert_eq!(
        backend.number("select count(*) from pg_class where relkind = 'p' and relname = 'ai_metrics'").await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_meanwhile_leaves_nothing_in_the_copy() {
    const ANA: Customer<'static> =
        Customer { word: "zqana", email: "ana@example.com", phone: "+491512345678" };
    let backend = Backend::postgres().await.with_app_tables().await;
    let app =
        TestApp::with(&backend, &[("ALLOW_UNAUTHENTICATED_PRIVACY", "true"), ("RATE_LIMIT_TRACK", "off")])
            .await;
    ANA.plant(&backend).await;
    let track = async || {
        let event = event(json!({"conversation_id": ANA.conversation(), "session_id": ANA.session()}));
        assert_eq!(app.track(&event).await.status, 200);
    };
    track().await;
    insert(&backend, 3_000, "now()").await;
    track().await;
    let mut partitioning = begun(&backend).await;
    track().await;
    let of_ana = |table: &str| format!("select count(*) from {table} where session_id = '{}'", ANA.session());
    assert_eq!(backend.number(&of_ana("ai_metrics_by_month")).await, 2, "one is still to be copied");
    eventually("she is erased", async || {
        let body = json!({"email": ANA.email});
        [200, 404].contains(&app.post("/privacy/erase").json(&body).send().await.status.as_u16())
    })
    .await;
    for table in ["ai_metrics", "ai_metrics_by_month"] {
        assert_eq!(backend.number(&of_ana(table)).await, 0, "{table}");
    }
    track().await;
    while !partitioning.copy_some().await.unwrap().is_done {}
    assert_eq!(backend.number(&of_ana("ai_metrics_by_month")).await, 0, "late events are not kept either");
    complete(partitioning).await;
    assert!(!backend.dump().contains(ANA.word));
    assert_eq!(app.get("/analytics/acme").send().await.status, 200);
}
