//! Erasures during writes, while other programs hold locks, and while the database is unavailable.

use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};
use tokio::time::sleep;

use crate::harness::{
    Backend, Customer, LAB_TABLE, Link, Reply, TcpProxy, TestApp, event, eventually, on_every_backend,
};

on_every_backend! {
    what_is_reported_while_an_erasure_runs_does_not_stay,
    an_erasure_raced_against_events_loses_none_and_leaves_none_that_came_before,
    a_lock_of_another_program_leaves_everything_as_it_is,
    a_rule_of_the_database_leaves_everything_as_it_is,
}

const ANA: Customer<'static> = Customer { word: "zqana", email: "ana@example.com", phone: "+491512345678" };

async fn open(backend: &Backend) -> TestApp {
    let settings = [
        ("ALLOW_UNAUTHENTICATED_PRIVACY", "true"),
        ("RATE_LIMIT_DEFAULT", "off"),
        ("RATE_LIMIT_TRACK", "off"),
        ("RATE_LIMIT_REFRESH_METRICS", "off"),
    ];
    TestApp::with(backend, &settings).await
}

async fn erase(app: &TestApp, body: Value) -> Reply {
    app.post("/privacy/erase").json(&body).send().await
}

/// Erases a person, retrying if the machine is too busy to do it in time.
async fn erase_at_last(app: &TestApp, body: Value) {
    eventually("it is erased", async || [200, 404].contains(&erase(app, body.clone()).await.status.as_u16()))
        .await;
}

const COUNT: &str = "ai_response_time_seconds_count";

#[expect(clippy::cast_precision_loss, reason = "they are few")]
async fn an_erasure_raced_against_events_loses_none_and_leaves_none_that_came_before(backend: Backend) {
    let backend = backend.with_app_tables().await;
    let app = open(&backend).await;
    let (stop, tracked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let track = async |conversation: &str, session: &str| {
        let reply = app.track(&event(json!({"conversation_id": conversation, "session_id": session}))).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        tracked.fetch_add(1, Ordering::Relaxed);
        // Leaves the processor to the erasure.
        sleep(Duration::from_millis(5)).await;
    };
    let callers = (0..12).map(|caller| {
        let (track, stop) = (&track, &stop);
        async move {
            let own = format!("session-{caller}");
            while !stop.load(Ordering::Relaxed) {
                track("hot", &own).await;
                track("other", "session-other").await;
            }
        }
    });
    let callers = futures_util::future::join_all(callers);
    let eraser = async {
        for round in 0..8 {
            let own = format!("own-{round}");
            track(&own, &own).await;
            for name in [own.as_str(), "hot"] {
                erase_at_last(&app, json!({"conversation_id": name})).await;
            }
            let left = format!("select count(*) from ai_metrics where conversation_id = '{own}'");
            assert_eq!(backend.number(&left).await, 0, "it was stored before");
        }
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(callers, eraser);
    erase_at_last(&app, json!({"conversation_id": "hot", "mode": "anonymise"})).await;
    assert_eq!(backend.number("select count(*) from ai_metrics where conversation_id = 'hot'").await, 0);
    let tracked = tracked.into_inner();
    assert!(tracked > 50, "{tracked} events prove nothing");
    assert_eq!(app.metric(COUNT).await, Some(tracked as f64));
    assert!(app.app.ingest.refresh().await);
    assert_eq!(app.metric(COUNT).await, Some(tracked as f64), "read anew");
    let stored = backend.number("select sum(events) from ai_totals_now").await;
    assert_eq!(stored, i64::try_from(tracked).unwrap());
}

#[expect(clippy::cast_precision_loss, reason = "they are few")]
async fn what_is_reported_while_an_erasure_runs_does_not_stay(backend: Backend) {
    let app = open(&backend).await;
    let (done, tracked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let round = AtomicUsize::new(0);
    let track = async |conversation: &str| {
        let reply =
            app.track(&event(json!({"conversation_id": conversation, "session_id": conversation}))).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        tracked.fetch_add(1, Ordering::Relaxed);
        // Leaves the processor to the erasure.
        sleep(Duration::from_millis(5)).await;
    };
    let callers = (0..12).map(|_| async {
        while !done.load(Ordering::Relaxed) {
            track(&format!("hot-{}", round.load(Ordering::Relaxed))).await;
        }
    });
    let eraser = async {
        for number in 0..8 {
            round.store(number, Ordering::Relaxed);
            let conversation = format!("hot-{number}");
            let of_it = format!("select count(*) from ai_metrics where conversation_id = '{conversation}'");
            eventually("some are stored", async || backend.number(&of_it).await > 0).await;
            let erased = erase(&app, json!({"conversation_id": conversation})).await;
            assert_eq!(erased.status, 200, "{}", erased.text());
            assert_eq!(backend.number(&of_it).await, 0, "when it is answered, none is left");
            for _ in 0..3 {
                track(&conversation).await;
            }
        }
        done.store(true, Ordering::Relaxed);
    };
    tokio::join!(futures_util::future::join_all(callers), eraser);
    assert_eq!(backend.rows().await, 0, "nor did any come back");
    let tracked = tracked.into_inner();
    assert_eq!(app.metric(COUNT).await, Some(tracked as f64));
    assert_eq!(
        backend.number("select sum(events) from ai_totals_now").await,
        i64::try_from(tracked).unwrap()
    );
}

/// An open transaction of another program, which holds locks.
enum CachedKey {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

impl CachedKey {
    async fn on(backend: &Backend) -> Self {
        const CHANGE: &str = "update conversations set status = status where id = 'conversation-zqana'";
        if backend.is_postgres() {
            let mut conn = PgConnection::connect(&backend.url).await.unwrap();
            conn.execute("begin").await.unwrap();
            conn.execute(CHANGE).await.unwrap();
            Self::Postgres(conn)
        } else {
            let path = backend.url.trim_start_matches("sqlite:");
            let mut conn = SqliteConnection::connect(path).await.unwrap();
            conn.execute("begin immediate").await.unwrap();
            Self::Sqlite(conn)
        }
    }

    async fn end(self) {
        match self {
            Self::Postgres(mut conn) => drop(conn.execute("rollback").await.unwrap()),
            Self::Sqlite(mut conn) => drop(conn.execute("rollback").await.unwrap()),
        }
    }
}

/// Returns the number of Ana's rows.
async fn rows_of_ana(backend: &Backend) -> i64 {
    let counts = ["conversations", "messages", "chat_messages", "appointments", "ai_metrics"]
        .map(|table| format!("(select count(*) from {table})"));
    backend.number(&format!("select {}", counts.join(" + "))).await
}

async fn a_lock_of_another_program_leaves_everything_as_it_is(backend: Backend) {
    let backend = backend.with_app_tables().await;
    ANA.plant(&backend).await;
    let app = open(&backend).await;
    let told = json!({"conversation_id": ANA.conversation(), "session_id": ANA.session()});
    assert_eq!(track(&app, told).await, 200);
    let before = rows_of_ana(&backend).await;
    let held = CachedKey::on(&backend).await;
    let begun = Instant::now();
    let refused = erase(&app, json!({"email": ANA.email})).await;
    refused.refused(503, "Service Unavailable");
    assert!(refused.json()["message"].as_str().unwrap().contains("try again"), "{}", refused.text());
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    held.end().await;
    assert_eq!(rows_of_ana(&backend).await, before);
    assert_eq!(backend.number("select count(*) from mlops_privacy_requests").await, 0);
    let told = json!({"conversation_id": ANA.conversation(), "session_id": ANA.session()});
    assert_eq!(track(&app, told).await, 200);
    assert_eq!(rows_of_ana(&backend).await, before + 1, "who was not erased is kept");
    assert_eq!(erase(&app, json!({"email": ANA.email})).await.ok()["counts"]["messages"], 2);
    assert_eq!(rows_of_ana(&backend).await, 0);
}

async fn a_rule_of_the_database_leaves_everything_as_it_is(backend: Backend) {
    let backend = backend.with_app_tables().await;
    ANA.plant(&backend).await;
    let invoices = "create table invoices (conversation_id text not null references conversations (id));
        insert into invoices values ('conversation-zqana')";
    backend.execute(invoices).await;
    let app = open(&backend).await;
    let before = rows_of_ana(&backend).await;
    let refused = erase(&app, json!({"email": ANA.email})).await;
    refused.refused(409, "Conflict");
    assert!(refused.json()["message"].as_str().unwrap().contains("Nothing was changed"));
    assert_eq!(rows_of_ana(&backend).await, before);
    backend.execute("delete from invoices").await;
    assert_eq!(erase(&app, json!({"email": ANA.email})).await.status, 200);
}

/// Returns whether any file in the directory of the test contains `word`.
fn on_disk(backend: &Backend, word: &str) -> bool {
    let found = Command::new("grep").args(["-r", "-q", "-a", word]).arg(backend.folder.path()).status();
    found.unwrap().success()
}

async fn track(app: &TestApp, changes: Value) -> u16 {
    app.track(&event(changes)).await.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_in_the_spool_are_erased_once_the_database_is_back() {
    let (proxy, backend) = TcpProxy::to_postgres().await;
    let view = proxy.view(&backend);
    let app = open(&view).await;
    assert_eq!(
        track(&app, json!({"conversation_id": "conversation-zqana", "session_id": "session-zqana"})).await,
        200
    );
    proxy.set(Link::Down);
    assert_eq!(
        track(&app, json!({"conversation_id": "conversation-zqana", "session_id": "session-zqana"})).await,
        202
    );
    assert_eq!(track(&app, json!({"conversation_id": null, "session_id": "session-zqana"})).await, 202);
    assert_eq!(track(&app, json!({"conversation_id": "other", "session_id": "other"})).await, 202);
    assert!(on_disk(&view, "session-zqana"));
    let refused = erase(&app, json!({"conversation_id": "conversation-zqana"})).await;
    refused.refused(503, "Service Unavailable");
    assert!(on_disk(&view, "session-zqana"), "nothing is half done");
    assert_eq!(app.metric(COUNT).await, Some(4.0));
    proxy.set(Link::Up);
    let counts = Mutex::new(Value::Null);
    eventually("it can be erased", async || {
        let reply = erase(&app, json!({"conversation_id": "conversation-zqana"})).await;
        *counts.lock().unwrap() = reply.json()["counts"].take();
        reply.status == 200
    })
    .await;
    assert_eq!(counts.into_inner().unwrap()["ai_metrics"], 3);
    assert!(!on_disk(&view, "session-zqana"));
    assert_eq!(backend.rows().await, 1);
    assert!(!backend.dump().contains("zqana"));
    assert_eq!(app.metric(COUNT).await, Some(4.0));
    assert!(app.app.ingest.refresh().await);
    assert_eq!(app.metric(COUNT).await, Some(4.0), "read anew");
    assert_eq!(backend.number("select sum(events) from ai_totals_now").await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_spool_of_a_replica_that_was_cut_off_does_not_bring_back_what_was_erased() {
    let (proxy, backend) = TcpProxy::to_postgres().await;
    let view = proxy.view(&backend);
    let (cut_off, other) = (open(&view).await, open(&backend).await);
    let told = json!({"conversation_id": "conversation-zqana", "session_id": "session-zqana"});
    assert_eq!(track(&other, told.clone()).await, 200);
    proxy.set(Link::Down);
    for _ in 0..20 {
        assert_eq!(track(&cut_off, told.clone()).await, 202);
    }
    assert_eq!(track(&cut_off, json!({"conversation_id": "other", "session_id": "other"})).await, 202);
    assert_eq!(erase(&other, json!({"conversation_id": "conversation-zqana"})).await.status, 200);
    proxy.set(Link::Up);
    eventually("the spool is replayed", async || cut_off.metric("spool_events").await == Some(0.0)).await;
    assert_eq!(backend.texts("select conversation_id from ai_metrics").await, ["other"]);
    assert!(!backend.dump().contains("zqana") && !on_disk(&view, "session-zqana"));
    assert_eq!(backend.number("select sum(events) from ai_totals_now").await, 22, "all are counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_in_the_spool_that_the_database_refuses_is_counted_and_erased() {
    let (proxy, backend) = TcpProxy::to_postgres().await;
    backend.execute(LAB_TABLE).await;
    backend
        .execute(
            "create table businesses (id text primary key);
             insert into businesses values ('acme');
             alter table ai_metrics alter business_id type text, add foreign key (business_id) references businesses (id)",
        )
        .await;
    let view = proxy.view(&backend);
    let app = open(&view).await;
    assert_eq!(track(&app, json!({"session_id": "other"})).await, 200);
    proxy.set(Link::Down);
    for session in ["session-zqana", "session-zqben"] {
        let refused = json!({"business_id": "nobody", "conversation_id": null, "session_id": session});
        assert_eq!(track(&app, refused).await, 202);
    }
    proxy.set(Link::Up);
    eventually("both are refused", async || app.metric("spool_refused_events").await == Some(2.0)).await;
    let found = app.post("/privacy/export").json(&json!({"session_id": "session-zqana"})).send().await.ok();
    let waiting = found["categories"].as_array().unwrap().iter().find(|one| one["table"] == "spool").unwrap();
    assert_eq!(waiting["rows"][0]["session_id"], "session-zqana");
    let dry =
        app.post("/privacy/erase?dry_run=true").json(&json!({"session_id": "session-zqana"})).send().await;
    assert_eq!(dry.ok()["counts"]["spool"], 1);
    let erased = erase(&app, json!({"session_id": "session-zqana"})).await.ok();
    assert_eq!(erased["counts"]["spool"], 1, "{erased}");
    erase(&app, json!({"session_id": "session-zqana"})).await.refused(404, "Not Found");
    assert!(!on_disk(&view, "session-zqana") && on_disk(&view, "session-zqben"));
    for _ in 0..2 {
        assert_eq!(app.metric(COUNT).await, Some(3.0));
        assert_eq!(app.metric("spool_refused_events").await, Some(1.0));
        assert_eq!(app.metric("spool_events").await, Some(1.0));
        assert!(app.app.ingest.refresh().await);
    }
    assert_eq!(backend.number("select sum(events) from ai_totals_now").await, 2);
    assert_eq!(track(&app, json!({"session_id": "other"})).await, 200, "it goes on");
}
