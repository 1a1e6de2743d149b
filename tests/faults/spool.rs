//! Events in the spool while the database is unavailable.

use std::time::Duration;

use serde_json::{Value, json};

use super::ledger::Answer;
use super::load::Load;
use super::requests::{OPEN, assert_counters, drained, get, metric, open_and, track};
use crate::harness::{Backend, Link, Service, TcpProxy, event, eventually, http_client};

/// Starts a service whose database is unavailable.
async fn without_database(settings: &[(&str, &str)]) -> (TcpProxy, Backend, Backend, Service) {
    let (proxy, backend) = TcpProxy::to_postgres().await;
    let view = proxy.view(&backend);
    let service = Service::start(&view, &open_and(settings));
    assert_eq!(track(&service).await.0, 200);
    proxy.set(Link::Down);
    (proxy, backend, view, service)
}

async fn spool(service: &Service) -> Value {
    get(service, "/health/detailed").await.1["spool"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_shows_how_full_the_spool_is() {
    let (proxy, backend, _, service) = without_database(&[]).await;
    for _ in 0..3 {
        assert_eq!(track(&service).await.0, 202);
    }
    let shown = spool(&service).await;
    assert_eq!((&shown["depth"], &shown["replayed"]), (&3.into(), &0.into()), "{shown}");
    assert!(shown["oldest_seconds"].as_f64().is_some_and(|oldest| oldest < 30.0), "{shown}");
    assert_eq!(metric(&service, "spool_events").await, Some(3.0));
    assert!(metric(&service, "spool_oldest_seconds").await.is_some());
    assert_eq!(metric(&service, "ai_response_time_seconds_count").await, Some(4.0), "counted at once");
    proxy.set(Link::Up);
    drained(&service).await;
    let shown = spool(&service).await;
    assert_eq!((&shown["depth"], &shown["replayed"]), (&0.into(), &3.into()), "{shown}");
    assert_eq!(shown["oldest_seconds"], Value::Null);
    assert_eq!(metric(&service, "spool_replayed_total").await, Some(3.0));
    assert_eq!(backend.rows().await, 4);
    assert_counters(&service, &backend).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_that_were_spooled_are_counted_once_they_are_stored() {
    let (proxy, backend) = TcpProxy::to_postgres().await;
    proxy.set(Link::Down);
    let service = Service::start(&proxy.view(&backend), &OPEN);
    // Storing them takes longer than the first look for what is to be counted.
    let of = |n| event(json!({"business_id": "b", "conversation_id": format!("c-{n}")}));
    let events: Vec<Value> = (0..1_000).map(of).collect();
    let call = http_client().post(service.url("/track/batch")).json(&json!({"events": events}));
    assert_eq!(call.send().await.unwrap().status(), 202);
    proxy.set(Link::Up);
    drained(&service).await;
    let mut counted = None;
    // A scrape waits for what was stored before it, but at most a second.
    for _ in 0..5 {
        counted = metric(&service, r#"ai_conversations_total{business_id="b"}"#).await;
    }
    assert_eq!(counted, Some(1_000.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_refuses_and_drops_nothing() {
    let (proxy, backend, _, service) = without_database(&[("SPOOL_MAX_MB", "1")]).await;
    let load = Load::begin(service.port);
    load.ledger.more_of(Answer::Refused, 100).await;
    eventually("it is not ready", async || get(&service, "/health/ready").await.0 == 503).await;
    proxy.set(Link::Up);
    eventually("it stores again", async || track(&service).await.0 == 200).await;
    load.ledger.more_of(Answer::Stored, 100).await;
    let ledger = load.end().await;
    drained(&service).await;
    assert_eq!(get(&service, "/health/ready").await.0, 200);
    ledger.check_without_room(&backend).await;
    assert_counters(&service, &backend).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_spool_events_are_refused_while_the_database_is_away() {
    let (proxy, backend, _, service) = without_database(&[("SPOOL_DIR", "off")]).await;
    let (status, body) = track(&service).await;
    assert_eq!((status, &body["error"]), (503, &"Failed to store metrics in database".into()));
    assert_eq!(get(&service, "/health/ready").await.0, 503);
    proxy.set(Link::Up);
    eventually("it stores again", async || track(&service).await.0 == 200).await;
    assert_counters(&service, &backend).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_while_events_are_spooled_loses_none() {
    let (proxy, backend, view, mut service) = without_database(&[]).await;
    let load = Load::begin(service.port);
    load.ledger.more_of(Answer::Spooled, 1_000).await;
    service.signal("TERM");
    let (status, took) = service.wait();
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
    let ledger = load.end().await;
    assert_eq!(ledger.refused(), 0, "what was in flight was answered 202");
    proxy.set(Link::Up);
    let service = Service::start(&view, &OPEN);
    drained(&service).await;
    ledger.check(&backend).await;
    assert_counters(&service, &backend).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_replayed_in_the_order_in_which_they_came() {
    let (proxy, backend, _, service) = without_database(&[]).await;
    for _ in 0..20 {
        assert_eq!(track(&service).await.0, 202);
    }
    proxy.set(Link::Up);
    drained(&service).await;
    let out_of_order = "select count(*) from ai_metrics a join ai_metrics b on b.id = a.id + 1
                        where a.created_at >= b.created_at";
    assert_eq!((backend.rows().await, backend.number(out_of_order).await), (21, 0));
}
