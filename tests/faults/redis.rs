//! Shared quotas in Redis: several replicas, a slow Redis, outages and recovery.

use std::time::{Duration, Instant};

use mlops_service::config::{RedisUrl, Setting};
use mlops_service::metrics::Metrics;
use mlops_service::quota::shared;
use serde_json::{Value, json};

use crate::harness::{
    Backend, KEY, Redis, Service, TcpProxy, event, eventually, free_port, http_client, real_now,
};

/// Returns the settings of a replica that shares quotas through the Redis at `url`.
fn settings(url: &str) -> [(&str, &str); 4] {
    [
        ("MLOPS_API_KEY", KEY),
        ("REDIS_URL", url),
        ("RATE_LIMIT_HEALTH", "off"),
        ("FLOOD_LIMIT_PER_SECOND", "off"),
    ]
}

async fn track(service: &Service) -> (u16, String) {
    let call = http_client().post(service.url("/track")).header("x-api-key", KEY);
    let answer = call.json(&event(json!({}))).send().await.unwrap();
    let left = answer.headers()["x-ratelimit-remaining"].to_str().unwrap().to_owned();
    (answer.status().as_u16(), left)
}

async fn detailed(service: &Service) -> Value {
    http_client().get(service.url("/health/detailed")).send().await.unwrap().json().await.unwrap()
}

async fn connected(service: &Service) -> bool {
    let health = detailed(service).await;
    let connected = health["health_checks"]["redis_connected"] == true;
    assert_eq!(health["status"] == "healthy", connected);
    connected
}

/// Returns whether both `/metrics` and `/health/detailed` report that Redis is up, or down.
async fn told(service: &Service, up: bool) -> bool {
    let metrics = http_client().get(service.url("/metrics")).send().await.unwrap().text().await.unwrap();
    metrics.contains(&format!("\nrate_limit_redis_up {}\n", u8::from(up))) && connected(service).await == up
}

/// Returns [`settings`] with this quota on `/track` and none on `/health/detailed`, which these tests poll.
fn with_health<'a>(url: &'a str, quota: &'a str) -> Vec<(&'a str, &'a str)> {
    let own = [("RATE_LIMIT_HEALTH_DETAILED", "off"), ("RATE_LIMIT_TRACK", quota)];
    settings(url).into_iter().chain(own).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_admit_exactly_the_quota_and_a_restart_forgets_nothing() {
    let (backend, redis) = (Backend::postgres().await, Redis::start(free_port()));
    let url = redis.url();
    let mut replicas: Vec<Service> = (0..3).map(|_| Service::start(&backend, &settings(&url))).collect();
    // Few at once: on a busy machine Redis would not answer all of a crowd in time, and who is not answered counts in memory.
    let mut answers = Vec::new();
    for _ in 0..20 {
        let calls = (0..12).map(|i| track(&replicas[i % 3]));
        answers.extend(futures_util::future::join_all(calls).await);
    }
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
    assert_eq!(log.matches("Redis is unavailable").count(), 1, "once a minute: {log}");
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
        eventually("it is logged", async || service.log().contains("Redis is unavailable")).await;
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
    eventually("it is logged", async || service.log().contains("Redis is unavailable")).await;
    // The privileges that docs/access.md documents for the service's user.
    let page = std::fs::read_to_string("docs/access.md").unwrap();
    let line = page.lines().find_map(|line| line.trim().strip_prefix("ACL SETUSER ")).unwrap();
    let user = line.replace(">PASSWORD", ">hunter2");
    let words: Vec<&str> = ["ACL", "SETUSER"].into_iter().chain(user.split(' ')).collect();
    assert_eq!(redis.command(&words), "OK\n");
    eventually("Redis is used", async || told(&service, true).await).await;
    assert_eq!(track(&service).await, (200, "9".to_owned()));
    assert!(!service.log().contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_answers_but_cannot_count_is_away_until_it_can() {
    let (backend, redis) = (Backend::sqlite(), Redis::start(free_port()));
    let url = redis.url();
    let service = Service::start(&backend, &with_health(&url, "10000/hour"));
    let full = (vec!["CONFIG", "SET", "maxmemory", "1"], vec!["CONFIG", "SET", "maxmemory", "0"]);
    let replica = (vec!["REPLICAOF", "127.0.0.1", "1"], vec!["REPLICAOF", "NO", "ONE"]);
    let forbidden = (vec!["ACL", "SETUSER", "default", "-hset"], vec!["ACL", "SETUSER", "default", "+hset"]);
    for (spoil, mend) in [full, replica, forbidden] {
        eventually("Redis is used", async || told(&service, true).await).await;
        assert_eq!(redis.command(&spoil), "OK\n");
        let (begun, connections) = (Instant::now(), redis.connections());
        for _ in 0..100 {
            assert_eq!(track(&service).await.0, 200);
        }
        assert!(told(&service, false).await, "{spoil:?}: up is what can count");
        let made = redis.connections() - connections;
        let looks = u32::try_from(begun.elapsed().as_secs()).unwrap() + 1;
        // The test itself opens one, too.
        assert!(made <= looks + 2, "{spoil:?}: {made} connections in {looks} s");
        assert_eq!(redis.command(&mend), "OK\n");
    }
    eventually("Redis is used", async || told(&service, true).await).await;
    let log = service.log();
    assert_eq!(log.matches("Redis is unavailable").count(), 1, "once a minute: {log}");
    assert_eq!(
        log.matches("Redis is available again").count(),
        1,
        "only after it was said to be away: {log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_slow_keeps_nobody_waiting_and_is_used_once_it_is_not() {
    let redis = Redis::start(free_port());
    let proxy = TcpProxy::to(redis.port).await;
    let backend = Backend::sqlite();
    let url = format!("redis://127.0.0.1:{}", proxy.port);
    let service = Service::start(&backend, &with_health(&url, "10/hour"));
    assert_eq!(track(&service).await, (200, "9".to_owned()));
    proxy.delay(Duration::from_millis(300));
    let begun = Instant::now();
    assert_eq!(track(&service).await, (200, "9".to_owned()), "counted in memory");
    assert!(begun.elapsed() < Duration::from_millis(600), "{:?}", begun.elapsed());
    let begun = Instant::now();
    for _ in 0..3 {
        assert_eq!(track(&service).await.0, 200);
    }
    assert!(begun.elapsed() < Duration::from_millis(250), "nobody waits any more: {:?}", begun.elapsed());
    assert!(told(&service, false).await);
    eventually("it is logged", async || service.log().contains("Redis is unavailable")).await;
    proxy.delay(Duration::from_millis(20));
    eventually("it is used though it is not fast", async || told(&service, true).await).await;
    assert_eq!(track(&service).await, (200, "7".to_owned()), "what Redis was asked counts, and no more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_fails_late_takes_no_newer_one_with_it() {
    let proxy = TcpProxy::to(Redis::shared().port).await;
    let url = RedisUrl::read(&format!("redis://127.0.0.1:{}", proxy.port)).unwrap();
    let limiter = shared::Limiter::open(&url, Metrics::new().0.redis()).unwrap();
    limiter.connect().await;
    let (quota, now) = ("10 per hour".parse().unwrap(), real_now().timestamp_millis());
    proxy.delay(Duration::from_mins(1));
    let renew = async {
        eventually("an answer is held", async || proxy.held() == 1).await;
        proxy.delay(Duration::ZERO);
        limiter.connect().await;
    };
    let (late, ()) = tokio::join!(limiter.hit("late", &quota, now), renew);
    assert_eq!(late, None);
    assert!(limiter.is_up(), "the newer one is well");
    assert!(limiter.hit("late", &quota, now).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn in_shadow_mode_a_quota_in_redis_refuses_nothing_and_is_told() {
    let (backend, redis) = (Backend::sqlite(), Redis::start(free_port()));
    let url = redis.url();
    let shadow = [("RATE_LIMIT_MODE", "shadow"), ("LOG_FORMAT", "json")];
    let settings: Vec<_> = with_health(&url, "2/hour").into_iter().chain(shadow).collect();
    let service = Service::start(&backend, &settings);
    for left in ["1", "0", "0", "0"] {
        assert_eq!(track(&service).await, (200, left.to_owned()));
    }
    let metrics = http_client().get(service.url("/metrics")).send().await.unwrap().text().await.unwrap();
    for series in [
        "rate_limit_shadow_total{route=\"/track\"} 2",
        "rate_limit_near_total{route=\"/track\"} 1",
        "security_events_total{event=\"rate_limited\"} 0",
    ] {
        assert!(metrics.contains(series), "{series}");
    }
    let log = service.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("quota would be exceeded")).collect();
    assert_eq!(lines.len(), 2, "{log}");
    let line: Value = serde_json::from_str(lines[0]).unwrap();
    assert_eq!((&line["event"], &line["route"]), (&json!("rate_limited"), &json!("/track")));
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_the_quota_of_failed_attempts() {
    let (backend, redis) = (Backend::sqlite(), Redis::start(free_port()));
    let url = redis.url();
    let proxied = [("TRUSTED_PROXIES", "127.0.0.1"), ("RATE_LIMIT_ANALYTICS", "off")];
    let settings: Vec<_> = settings(&url).into_iter().chain(proxied).collect();
    let replicas = [(); 2].map(|()| Service::start(&backend, &settings));
    let attempt = async |replica: &Service, ip: &str, key: &str| {
        let call = http_client().get(replica.url("/analytics/acme")).header("x-forwarded-for", ip);
        call.header("x-api-key", key).send().await.unwrap().status().as_u16()
    };
    for i in 0..20 {
        assert_eq!(attempt(&replicas[i % 2], "203.0.113.1", "wrong").await, 403);
    }
    for replica in &replicas {
        assert_eq!(attempt(replica, "203.0.113.1", "wrong").await, 429);
        assert_eq!(attempt(replica, "203.0.113.1", KEY).await, 200);
        assert_eq!(attempt(replica, "203.0.113.2", "wrong").await, 403);
    }
}

#[test]
#[should_panic(expected = "Redis did not start")]
fn a_test_whose_redis_cannot_start_fails_and_does_not_wait() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    Redis::start(taken.local_addr().unwrap().port());
}
