//! Redis shared by replicas, slow, gone, and back.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Backend, KEY, Redis, Service, event, eventually, free_port};

/// The settings of a replica that shares quotas through the Redis at `url`.
fn settings(url: &str) -> [(&str, &str); 4] {
    [
        ("MLOPS_API_KEY", KEY),
        ("REDIS_URL", url),
        ("RATE_LIMIT_HEALTH", "off"),
        ("FLOOD_LIMIT_PER_SECOND", "off"),
    ]
}

async fn track(service: &Service) -> (u16, String) {
    let call = reqwest::Client::new().post(service.url("/track")).header("x-api-key", KEY);
    let answer = call.json(&event(json!({}))).send().await.unwrap();
    let left = answer.headers()["x-ratelimit-remaining"].to_str().unwrap().to_owned();
    (answer.status().as_u16(), left)
}

async fn detailed(service: &Service) -> Value {
    reqwest::get(service.url("/health/detailed")).await.unwrap().json().await.unwrap()
}

async fn connected(service: &Service) -> bool {
    let health = detailed(service).await;
    let connected = health["health_checks"]["redis_connected"] == true;
    assert_eq!(health["status"] == "healthy", connected);
    connected
}

/// Whether everything says that Redis is there, or that it is not.
async fn told(service: &Service, up: bool) -> bool {
    let metrics = reqwest::get(service.url("/metrics")).await.unwrap().text().await.unwrap();
    metrics.contains(&format!("\nrate_limit_redis_up {}\n", u8::from(up))) && connected(service).await == up
}

/// Quotas for `/health/detailed` are used up quickly by these tests.
fn with_health<'a>(url: &'a str, quota: &'a str) -> Vec<(&'a str, &'a str)> {
    let own = [("RATE_LIMIT_HEALTH_DETAILED", "off"), ("RATE_LIMIT_TRACK", quota)];
    settings(url).into_iter().chain(own).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_admit_exactly_the_quota_and_a_restart_forgets_nothing() {
    let (backend, redis) = (Backend::postgres().await, Redis::start(free_port()));
    let url = redis.url();
    let mut replicas: Vec<Service> = (0..3).map(|_| Service::start(&backend, &settings(&url))).collect();
    let calls = (0..240).map(|i| track(&replicas[i % 3]));
    let answers = futures_util::future::join_all(calls).await;
    let count = |status: u16| answers.iter().filter(|(answered, _)| *answered == status).count();
    assert_eq!((count(200), count(429)), (100, 140));
    assert_eq!(backend.rows().await, 100);
    replicas.clear();
    let restarted = Service::start(&backend, &settings(&url));
    assert_eq!(track(&restarted).await, (429, "0".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_frozen_or_gone_keeps_nobody_waiting_and_comes_back() {
    let port = free_port();
    let (backend, redis) = (Backend::sqlite(), Redis::start(port));
    let url = redis.url();
    let service = Service::start(&backend, &with_health(&url, "10/hour"));
    assert_eq!(track(&service).await, (200, "9".to_owned()));
    assert!(told(&service, true).await);
    redis.signal("STOP");
    let begun = Instant::now();
    let answers: Vec<_> = futures_util::future::join_all((0..3).map(|_| track(&service))).await;
    assert!(answers.iter().all(|(status, _)| *status == 200), "counted in memory: {answers:?}");
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let begun = Instant::now();
    assert_eq!(track(&service).await.0, 200);
    assert!(begun.elapsed() < Duration::from_millis(200), "nobody asks it any more: {:?}", begun.elapsed());
    assert!(told(&service, false).await);
    redis.signal("CONT");
    eventually("Redis is used again", async || told(&service, true).await).await;
    let left: u32 = track(&service).await.1.parse().unwrap();
    assert!((5..9).contains(&left), "what it was told before it froze counts: {left}");
    drop(redis);
    assert_eq!(track(&service).await.0, 200);
    assert!(told(&service, false).await);
    let log = service.log();
    assert_eq!(log.matches("Redis cannot be used").count(), 1, "once a minute: {log}");
    let _redis = Redis::start(port);
    eventually("the new Redis is used", async || told(&service, true).await).await;
    assert_eq!(track(&service).await, (200, "9".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_starts_without_its_redis_and_finds_it_later() {
    let port = free_port();
    let url = format!("redis://127.0.0.1:{port}");
    let backend = Backend::sqlite();
    let service = Service::start(&backend, &with_health(&url, "10/hour"));
    assert_eq!(track(&service).await.0, 200);
    assert!(told(&service, false).await);
    let _redis = Redis::start(port);
    eventually("Redis is used", async || told(&service, true).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_redis_is_used_only_with_a_certificate_for_its_name() {
    let redis = Redis::start(free_port());
    let backend = Backend::sqlite();
    let genuine = redis.tls_url("localhost");
    let service = Service::start(&backend, &with_health(&genuine, "10/hour"));
    assert_eq!(track(&service).await.0, 200);
    assert!(told(&service, true).await);
    let unknown = format!("rediss://localhost:{}", redis.tls_port);
    for impostor in [redis.tls_url("127.0.0.1"), unknown] {
        let service = Service::start(&backend, &with_health(&impostor, "10/hour"));
        assert_eq!(track(&service).await.0, 200);
        assert!(told(&service, false).await);
        eventually("it is logged", async || service.log().contains("Redis cannot be used")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_refuses_the_password_is_used_once_it_takes_it() {
    let redis = Redis::start(free_port());
    let backend = Backend::sqlite();
    let url = format!("redis://mlops:hunter2@127.0.0.1:{}", redis.port);
    let service = Service::start(&backend, &with_health(&url, "10/hour"));
    assert_eq!(track(&service).await.0, 200);
    assert!(told(&service, false).await);
    eventually("it is logged", async || service.log().contains("Redis cannot be used")).await;
    // What docs/access.md gives the service's user.
    let page = std::fs::read_to_string("docs/access.md").unwrap();
    let line = page.lines().find_map(|line| line.trim().strip_prefix("ACL SETUSER ")).unwrap();
    let user = line.replace(">PASSWORD", ">hunter2");
    let mut command = std::process::Command::new("redis-cli");
    command.args(["-p", &redis.port.to_string(), "ACL", "SETUSER"]).args(user.split(' '));
    assert_eq!(command.output().unwrap().stdout, b"OK\n");
    eventually("Redis is used", async || told(&service, true).await).await;
    assert_eq!(track(&service).await, (200, "9".to_owned()));
    assert!(!service.log().contains("hunter2"));
}
