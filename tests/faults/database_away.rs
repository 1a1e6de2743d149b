//! Postgres away, frozen, and back.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::crash::OPEN;
use super::load::Load;
use crate::harness::{Backend, Postgres, Service, Tls, event, eventually};

/// Status and body. Whoever is refused for now is told when to try again.
async fn read(answer: reqwest::Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    let retry_after = answer.headers().get("retry-after").map(|seconds| seconds.to_str().unwrap());
    assert_eq!(retry_after, (status == 503).then_some("1"), "{}", answer.url());
    (status, answer.json().await.unwrap())
}

async fn get(service: &Service, path: &str) -> (u16, Value) {
    read(reqwest::get(service.url(path)).await.unwrap()).await
}

async fn track(service: &Service) -> (u16, Value) {
    let call = reqwest::Client::new().post(service.url("/track")).json(&event(json!({})));
    read(call.send().await.unwrap()).await
}

/// What callers see while the database is away: each answer comes within three seconds.
async fn assert_away(service: &Service) {
    let begun = Instant::now();
    let asked = |path| async move {
        let answer = get(service, path).await;
        assert!(begun.elapsed() < Duration::from_secs(3), "{path} took {:?}", begun.elapsed());
        answer
    };
    let refresh = async {
        let answer = reqwest::Client::new().post(service.url("/refresh-metrics")).send().await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(3), "refresh took {:?}", begun.elapsed());
        answer.json::<Value>().await.unwrap()
    };
    let (health, detailed, ready, analytics, tracked, refreshed) = tokio::join!(
        asked("/health"),
        asked("/health/detailed"),
        asked("/health/ready"),
        asked("/analytics/acme"),
        track(service),
        refresh
    );
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert_eq!(health.0, 200);
    assert_eq!((detailed.0, &detailed.1["status"]), (200, &json!("degraded")));
    assert_eq!(detailed.1["health_checks"]["database_connected"], false);
    assert_eq!((ready.0, &ready.1["error"]), (503, &json!("Service Unavailable")));
    assert_eq!((analytics.0, &analytics.1["error"]), (503, &json!("Service Unavailable")));
    assert_eq!((tracked.0, &tracked.1["error"]), (503, &json!("Failed to store metrics in database")));
    assert_eq!(refreshed["status"], "warning");
    assert_eq!(refreshed["message"], "Could not fetch from database, using current metrics");
}

async fn assert_back(service: &Service) {
    eventually("it is ready again", async || get(service, "/health/ready").await.0 == 200).await;
    assert_eq!(track(service).await.0, 200);
    assert_eq!(get(service, "/health/detailed").await.1["status"], "healthy");
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_stopped_and_started_under_load() {
    let server = Postgres::start(Tls::On);
    let backend = Backend::on(&server).await;
    let service = Service::start(&backend, &OPEN);
    let load = Load::begin(service.port);
    for _ in 0..2 {
        load.book.more(400).await;
        server.stop();
        assert_away(&service).await;
        server.restart();
        assert_back(&service).await;
    }
    load.book.more(400).await;
    let book = load.end().await;
    assert!(book.refused() > 0);
    assert!(book.longest() < Duration::from_secs(3), "an answer took {:?}", book.longest());
    book.check(&backend).await;
    let metrics = reqwest::get(service.url("/metrics")).await.unwrap().text().await.unwrap();
    let counted =
        metrics.lines().find_map(|line| line.strip_prefix("ai_response_time_seconds_count ")).unwrap();
    assert_eq!(counted, backend.rows().await.to_string(), "the counters are the store's");
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_frozen_and_thawed() {
    let server = Postgres::start(Tls::On);
    let backend = Backend::on(&server).await;
    let service = Service::start(&backend, &OPEN);
    assert_eq!(track(&service).await.0, 200);
    server.signal("STOP");
    assert_away(&service).await;
    assert_away(&service).await;
    let begun = Instant::now();
    assert_eq!(track(&service).await.0, 503);
    assert!(begun.elapsed() < Duration::from_millis(500), "refused at once: {:?}", begun.elapsed());
    server.signal("CONT");
    assert_back(&service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_starts_without_postgres_and_heals() {
    let server = Postgres::start(Tls::On);
    let backend = Backend::on(&server).await;
    server.stop();
    let service = Service::start(&backend, &OPEN);
    assert_away(&service).await;
    let metrics = reqwest::get(service.url("/metrics")).await.unwrap().text().await.unwrap();
    assert!(!metrics.contains("ai_response_time_seconds"), "no counter stands at 0 that does not");
    server.restart();
    assert_back(&service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_cut_are_replaced_without_a_refusal() {
    let server = Postgres::start(Tls::On);
    let backend = Backend::on(&server).await;
    let service = Service::start(&backend, &OPEN);
    assert_eq!(track(&service).await.0, 200);
    let cut =
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'mlops-service'";
    for _ in 0..3 {
        backend.execute(cut).await;
        assert_eq!(track(&service).await.0, 200);
        assert_eq!(get(&service, "/analytics/acme").await.0, 200);
    }
    assert_eq!(backend.rows().await, 4);
}
