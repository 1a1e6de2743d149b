//! Two replicas and the receptionist app, all writing to one database.

use serde_json::json;
use uuid::Uuid;

use super::load::Load;
use super::requests::{assert_counters, open_and};
use crate::harness::{Backend, Service, event, eventually, http_client, insert_as_the_app, on_every_backend};

on_every_backend! {
    two_replicas_and_the_app_count_every_event_once,
}

/// The number of rows that the app inserts. Every fifth one is never reported, as if the app crashed in between.
const OF_THE_APP: usize = 20;

fn start(backend: &Backend, replica: &str) -> Service {
    let settings = [("SPOOL_DIR", replica), ("METRICS_REFRESH_SECONDS", "1")];
    Service::start(backend, &open_and(&settings))
}

async fn two_replicas_and_the_app_count_every_event_once(backend: Backend) {
    let mut replicas = ["first", "second"].map(|replica| start(&backend, replica));
    let load = Load::on(&replicas.each_ref().map(|replica| replica.port));
    let ports = replicas.each_ref().map(|replica| replica.port);
    let app = async {
        for n in 0..OF_THE_APP {
            act_as_the_app(&backend, n, ports[n % 2]).await;
        }
    };
    tokio::join!(app, load.ledger.more(300));
    replicas[0].signal("KILL");
    replicas[0].wait();
    load.ledger.more(100).await;
    replicas[0] = start(&backend, "first");
    load.move_replica(0, replicas[0].port);
    load.ledger.more(600).await;
    let ledger = load.end().await;
    for replica in &replicas {
        http_client().post(replica.url("/refresh-metrics")).send().await.unwrap();
    }
    ledger.check(&backend).await;
    let of_the_app = "from ai_metrics where session_id like 'app-%'";
    for count in ["count(*)", "count(distinct session_id)"] {
        let rows = backend.number(&format!("select {count} {of_the_app}")).await;
        assert_eq!(rows, i64::try_from(OF_THE_APP).unwrap(), "{count}");
    }
    for replica in &replicas {
        assert_counters(replica, &backend).await;
    }
}

/// Inserts a row and reports it, as the receptionist app does. Reporting is retried until the event is stored.
async fn act_as_the_app(backend: &Backend, n: usize, port: u16) {
    let session = format!("app-{n}");
    insert_as_the_app(backend, &session, 0).await;
    if n.is_multiple_of(5) {
        return;
    }
    let event = event(json!({"session_id": session, "event_id": Uuid::new_v4().to_string()}));
    eventually("it is stored", async || {
        let call = http_client().post(format!("http://127.0.0.1:{port}/track")).json(&event);
        call.send().await.unwrap().status() == 200
    })
    .await;
}
