//! Tests of the ledger itself: it detects events that a faulty service loses, duplicates or miscounts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::ledger::{Fault, Ledger};
use super::load::Load;
use super::requests::OPEN;
use crate::harness::{Backend, Service, eventually, http_client, on_every_backend};

on_every_backend! {
    a_service_that_answers_before_it_commits_is_found_out,
    a_service_that_stores_events_twice_is_found_out,
    a_rollup_that_is_wrong_is_found_out,
}

/// A proxy that responds 200 before it forwards the event.
#[derive(Clone)]
struct FaultyProxy {
    port: u16,
    /// The port of the real service.
    service: Arc<AtomicU16>,
    /// How many times an event is forwarded, each time with a different id.
    times: u32,
    handing_on: Arc<AtomicUsize>,
    scrapes: Arc<AtomicU64>,
}

impl FaultyProxy {
    async fn start(service: &Service, times: u32) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            service: Arc::new(AtomicU16::new(service.port)),
            times,
            handing_on: Arc::default(),
            scrapes: Arc::default(),
        };
        let router = Router::new()
            .route("/track", post(async |State(proxy): State<Self>, Json(event)| proxy.track(event)))
            .route("/metrics", get(async |State(proxy): State<Self>| proxy.metrics()))
            .with_state(proxy.clone());
        #[expect(clippy::disallowed_methods, reason = "it ends with the runtime of its test")]
        tokio::spawn(async move { axum::serve(listener, router).await });
        proxy
    }

    fn track(self, event: Value) -> Json<Value> {
        self.handing_on.fetch_add(1, Ordering::Relaxed);
        #[expect(clippy::disallowed_methods, reason = "it ends with the runtime of its test")]
        tokio::spawn(async move {
            self.hand_on(event).await;
            self.handing_on.fetch_sub(1, Ordering::Relaxed);
        });
        Json(json!({"status": "success"}))
    }

    async fn hand_on(&self, mut event: Value) {
        sleep(Duration::from_millis(5)).await;
        let url = format!("http://127.0.0.1:{}/track", self.service.load(Ordering::Relaxed));
        for _ in 0..self.times {
            // The caller has already been told that the event is stored, so failures are ignored.
            drop(http_client().post(&url).json(&event).send().await);
            event["event_id"] = Value::Null;
        }
    }

    /// Returns a counter that decreases on every other scrape.
    fn metrics(&self) -> String {
        format!("ai_response_time_seconds_count {}\n", self.scrapes.fetch_add(1, Ordering::Relaxed) % 2)
    }

    /// Waits until every event is forwarded or lost.
    async fn is_done(&self) {
        eventually("all is handed on", async || self.handing_on.load(Ordering::Relaxed) == 0).await;
    }
}

async fn a_service_that_answers_before_it_commits_is_found_out(backend: Backend) {
    let mut service = Service::start(&backend, &OPEN);
    let proxy = FaultyProxy::start(&service, 1).await;
    let load = Load::of(&[proxy.port], 8, 0);
    load.ledger.more(1_000).await;
    service.signal("KILL");
    service.wait();
    let service = Service::start(&backend, &OPEN);
    proxy.service.store(service.port, Ordering::Relaxed);
    load.ledger.more(100).await;
    let ledger = load.end().await;
    proxy.is_done().await;
    let faults = ledger.faults(&backend).await;
    assert!(faults.iter().any(|fault| matches!(fault, Fault::Missing(_))), "{faults:?}");
    assert!(faults.iter().any(|fault| matches!(fault, Fault::WentDown(_))), "{faults:?}");
    assert!(
        !faults.iter().any(|fault| matches!(fault, Fault::Doubled(_) | Fault::Miscounted(..))),
        "{faults:?}"
    );
}

async fn a_service_that_stores_events_twice_is_found_out(backend: Backend) {
    let service = Service::start(&backend, &OPEN);
    let proxy = FaultyProxy::start(&service, 2).await;
    let load = Load::of(&[proxy.port], 8, 0);
    load.ledger.more(100).await;
    let ledger = load.end().await;
    proxy.is_done().await;
    let faults = ledger.faults(&backend).await;
    assert!(faults.contains(&Fault::Doubled(ledger.acknowledged())), "{faults:?}");
    assert!(faults.contains(&Fault::TooFew(ledger.acknowledged())), "{faults:?}");
}

async fn a_rollup_that_is_wrong_is_found_out(backend: Backend) {
    let service = Service::start(&backend, &OPEN);
    assert_eq!(super::requests::track(&service).await.0, 200);
    drop(service);
    assert_eq!(Ledger::default().faults(&backend).await, [Fault::TooFew(0)]);
    backend.execute("delete from ai_metrics").await;
    let faults = Ledger::default().faults(&backend).await;
    let views = ["ai_totals_now", "ai_rollup_daily_now", "ai_latency_daily_now"];
    for fault in views.map(|view| Fault::Miscounted(view, 1)) {
        assert!(faults.contains(&fault), "{faults:?}");
    }
}
