//! Turning the table of events over under load.

use serde_json::json;
use uuid::Uuid;

use super::load::Load;
use super::requests::{OPEN, assert_counters, drained};
use crate::harness::{
    Backend, Kind, LAB_TABLE, Pooler, Service, command, event, eventually, http_client, insert_as_the_app,
};

/// Inserts a row and reports it, as the receptionist app does.
async fn act_as_the_app(backend: &Backend, port: u16, n: usize) {
    let session = format!("app-{n}");
    insert_as_the_app(backend, &session, 0).await;
    if n.is_multiple_of(4) {
        return;
    }
    let event = event(json!({"session_id": session, "event_id": Uuid::new_v4().to_string()}));
    let call = http_client().post(format!("http://127.0.0.1:{port}/track")).json(&event);
    assert_eq!(call.send().await.unwrap().status(), 200);
}

/// Partitions while the service, which sees the database as `view`, takes events, and the app inserts rows.
async fn assert_nothing_is_lost(backend: &Backend, view: &Backend) {
    backend.execute(LAB_TABLE).await;
    drop(backend.store(&[]).await);
    let service = Service::start(view, &OPEN);
    let load = Load::of(&[service.port], 8, 3);
    load.ledger.more(1_000).await;
    let mut partition = command(backend, &[]).args(["partition", "--yes"]).spawn().unwrap();
    let mut rows_of_the_app = 0;
    while partition.try_wait().unwrap().is_none() {
        act_as_the_app(backend, service.port, rows_of_the_app).await;
        rows_of_the_app += 1;
    }
    assert!(partition.wait().unwrap().success());
    load.ledger.more(1_000).await;
    for n in 0..8 {
        act_as_the_app(backend, service.port, rows_of_the_app + n).await;
    }
    let ledger = load.end().await;
    assert_eq!(ledger.refused(), 0);
    drained(&service).await;
    let uncounted = "select count(*) from ai_metrics where event_id is null";
    eventually("the rows of the app are counted", async || {
        http_client().post(service.url("/refresh-metrics")).send().await.unwrap();
        backend.number(uncounted).await == 0
    })
    .await;
    ledger.check(backend).await;
    assert_counters(&service, backend).await;
    let (rows, ids) = (backend.rows().await, backend.number("select count(*) from mlops_event_ids").await);
    assert_eq!(
        (rows, backend.number("select count(*) from ai_metrics where session_id like 'app-%'").await),
        (ids, i64::try_from(rows_of_the_app + 8).unwrap())
    );
    let log = service.log();
    assert!(!log.contains("ERROR"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_event_is_refused_or_lost_while_the_table_is_turned_over() {
    let backend = Backend::postgres().await;
    assert_nothing_is_lost(&backend, &backend).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_behind_a_pooler() {
    let backend = Backend::postgres().await;
    let pooler = Pooler::start(&backend, 6, Kind::Tracking).await;
    assert_nothing_is_lost(&backend, &pooler.view(&backend)).await;
}
