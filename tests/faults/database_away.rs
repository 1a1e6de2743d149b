//! Postgres outages: stopped, frozen or refusing writes, and recovery.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::ledger::Answer;
use super::load::Load;
use super::requests::{OPEN, assert_counters, drained, get, metric, open_and, track};
use crate::harness::{Backend, Postgres, Service, Tls, eventually, http_client};

/// The maximum response time.
const LONGEST: Duration = Duration::from_secs(3);

/// Asserts what callers see while the database is unavailable: each response arrives within [`LONGEST`].
async fn assert_away(service: &Service) {
    let begun = Instant::now();
    let asked = |path| async move {
        let answer = get(service, path).await;
        assert!(begun.elapsed() < LONGEST, "{path} took {:?}", begun.elapsed());
        answer
    };
    let refresh = async {
        let answer = http_client().post(service.url("/refresh-metrics")).send().await.unwrap();
        assert!(begun.elapsed() < LONGEST, "refresh took {:?}", begun.elapsed());
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
    assert!(begun.elapsed() < LONGEST);
    assert_eq!(health.0, 200);
    assert_eq!((detailed.0, &detailed.1["status"]), (200, &json!("degraded")));
    assert_eq!(detailed.1["health_checks"]["database_connected"], false);
    assert_eq!((ready.0, &ready.1["status"]), (200, &json!("ready")), "the spool takes events");
    assert_eq!((analytics.0, &analytics.1["error"]), (503, &json!("Service Unavailable")));
    assert_spooled(tracked);
    assert_eq!(refreshed["status"], "warning");
    assert_eq!(refreshed["message"], "Could not fetch from database, using current metrics");
}

fn assert_spooled((status, mut body): (u16, Value)) {
    let timestamp = body["timestamp"].take();
    assert!(timestamp.is_string(), "{timestamp}");
    let told = json!({"status": "accepted", "message": "Metrics accepted; database unavailable",
                      "prometheus_updated": true, "database_stored": false, "timestamp": null});
    assert_eq!((status, body), (202, told));
}

async fn assert_back(service: &Service) {
    eventually("it stores again", async || track(service).await.0 == 200).await;
    assert_eq!(get(service, "/health/ready").await.0, 200);
    assert_eq!(get(service, "/health/detailed").await.1["status"], "healthy");
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_stopped_and_started_under_load() {
    let server = Postgres::start(Tls::On);
    let backend = Backend::on(&server).await;
    let service = Service::start(&backend, &OPEN);
    let load = Load::begin(service.port);
    for _ in 0..2 {
        load.ledger.more_of(Answer::Stored, 300).await;
        server.stop();
        load.ledger.more_of(Answer::Spooled, 200).await;
        assert_away(&service).await;
        server.restart();
        assert_back(&service).await;
    }
    load.ledger.more_of(Answer::Stored, 300).await;
    let ledger = load.end().await;
    drained(&service).await;
    assert_eq!(ledger.refused(), 0);
    assert!(ledger.longest() < LONGEST, "an answer took {:?}", ledger.longest());
    ledger.check(&backend).await;
    assert_counters(&service, &backend).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_frozen_for_ten_seconds_and_thawed() {
    let server = Postgres::start(Tls::On);
    let backend = Backend::on(&server).await;
    let service = Service::start(&backend, &OPEN);
    let load = Load::begin(service.port);
    load.ledger.more_of(Answer::Stored, 500).await;
    server.signal("STOP");
    let frozen = Instant::now();
    load.ledger.more_of(Answer::Spooled, 500).await;
    assert_away(&service).await;
    let begun = Instant::now();
    assert_spooled(track(&service).await);
    assert!(begun.elapsed() < Duration::from_secs(1), "at once, for the store is known to be away");
    tokio::time::sleep(Duration::from_secs(10).saturating_sub(frozen.elapsed())).await;
    server.signal("CONT");
    assert_back(&service).await;
    let ledger = load.end().await;
    drained(&service).await;
    assert_eq!(ledger.refused(), 0);
    assert!(ledger.longest() < LONGEST, "an answer took {:?}", ledger.longest());
    ledger.check(&backend).await;
    assert_counters(&service, &backend).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_starts_without_postgres_and_heals() {
    let server = Postgres::start(Tls::On);
    let backend = Backend::on(&server).await;
    server.stop();
    let service = Service::start(&backend, &OPEN);
    assert_away(&service).await;
    let counted = metric(&service, "ai_response_time_seconds_count").await;
    assert_eq!(counted, None, "no counter stands at 0 that does not");
    server.restart();
    assert_back(&service).await;
    drained(&service).await;
    assert_counters(&service, &backend).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_cut_are_replaced_without_a_refusal() {
    let backend = Backend::postgres().await;
    let service = Service::start(&backend, &OPEN);
    let load = Load::begin(service.port);
    let cut = "select pg_terminate_backend(pid) from pg_stat_activity
               where application_name = 'mlops-service' and datname = current_database()";
    for _ in 0..10 {
        load.ledger.more(100).await;
        backend.execute(cut).await;
        assert_eq!(get(&service, "/analytics/b-0").await.0, 200);
    }
    let ledger = load.end().await;
    drained(&service).await;
    assert_eq!(ledger.refused(), 0);
    ledger.check(&backend).await;
    assert_counters(&service, &backend).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_counter_goes_down_when_totals_are_read_while_the_spool_is_replayed() {
    let server = Postgres::start(Tls::On);
    let backend = Backend::on(&server).await;
    let service = Service::start(&backend, &OPEN);
    let load = Load::begin(service.port);
    load.ledger.more_of(Answer::Stored, 300).await;
    server.stop();
    load.ledger.more_of(Answer::Spooled, 1_000).await;
    server.restart();
    eventually("the spool is empty", async || {
        http_client().post(service.url("/refresh-metrics")).send().await.unwrap();
        get(&service, "/health/detailed").await.1["spool"]["depth"] == 0
    })
    .await;
    let ledger = load.end().await;
    ledger.check(&backend).await;
    assert_counters(&service, &backend).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_does_not_wait_for_totals_that_cannot_be_read() {
    const LOCK: &str = "begin; lock table ai_rollup_pending; select pg_sleep(6); commit";
    let backend = Backend::postgres().await;
    let service = Service::start(&backend, &OPEN);
    let sessions = async |what: &str| {
        let sql = "select count(*) from pg_stat_activity where datname = current_database() and query like";
        backend.number(&format!("{sql} '{what}'")).await
    };
    let locked = backend.execute(LOCK);
    let refreshed = async {
        eventually("the lock is held", async || sessions("begin; lock table%").await > 0).await;
        http_client().post(service.url("/refresh-metrics")).send().await.unwrap()
    };
    let tracked = async {
        eventually("the totals are asked for", async || {
            sessions("%max(seq)%from ai_rollup_pending").await > 0
        })
        .await;
        assert_spooled(track(&service).await);
    };
    tokio::join!(locked, refreshed, tracked);
    drained(&service).await;
    assert_counters(&service, &backend).await;
}

/// Statements that make the database refuse writes, and statements that undo it.
const TROUBLES: [(&str, &str); 3] = [
    // Disk full.
    (RAISE_DISK_FULL, "drop trigger trouble on ai_metrics"),
    // Read-only, like a standby; takes effect in new sessions.
    (
        "do $$ begin execute format('alter database %I set default_transaction_read_only = on', current_database()); end $$;
         select pg_terminate_backend(pid) from pg_stat_activity
         where application_name = 'mlops-service' and datname = current_database()",
        "set transaction_read_only = off;
         do $$ begin execute format('alter database %I reset default_transaction_read_only', current_database()); end $$",
    ),
    // Locked for too long.
    (LOCK_FOR_3_S, "select 1"),
];

const RAISE_DISK_FULL: &str = "create or replace function trouble() returns trigger language plpgsql as
    $$ begin raise exception 'no space left on device' using errcode = '53100'; end $$;
    create trigger trouble before insert on ai_metrics for each row execute function trouble()";

const LOCK_FOR_3_S: &str = "begin; lock table ai_metrics in exclusive mode; select pg_sleep(3); commit";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_database_cannot_store_now_is_spooled() {
    let backend = Backend::postgres().await;
    let service = Service::start(&backend, &open_and(&[("STORE_TIMEOUT", "1s")]));
    let load = Load::begin(service.port);
    for (begin, end) in TROUBLES {
        load.ledger.more_of(Answer::Stored, 300).await;
        let spooled = load.ledger.more_of(Answer::Spooled, 100);
        tokio::join!(spooled, backend.execute(begin));
        backend.execute(end).await;
        eventually("it stores again", async || track(&service).await.0 == 200).await;
    }
    let ledger = load.end().await;
    drained(&service).await;
    assert_eq!(ledger.refused(), 0);
    assert!(ledger.longest() < LONGEST, "an answer took {:?}", ledger.longest());
    ledger.check(&backend).await;
    assert_counters(&service, &backend).await;
}
