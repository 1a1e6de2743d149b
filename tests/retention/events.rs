//! Events.

use std::sync::atomic::{AtomicBool, Ordering};

use chrono::TimeDelta;
use mlops_service::retention::{Failure, Policy};
use mlops_service::store::Retained;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{dry_run_at, insert_old, make, rows, run_at, told};
use crate::harness::{Backend, Service, TestApp, command, event, eventually, on_every_backend, real_now};

on_every_backend! { partitioned:
    a_run_beside_live_events_loses_none_and_changes_no_counter,
    a_dry_run_counts_what_a_run_would_delete_and_deletes_nothing,
    whole_days_back_from_the_run_decide_whatever_the_order_of_the_ids,
    a_row_without_a_time_is_kept_for_its_days_from_when_it_was_found,
    events_are_kept_for_ever_where_retention_is_off,
    what_was_deleted_is_told_even_when_the_run_was_cut_off,
    rows_that_cannot_be_counted_are_kept,
    rows_dated_ahead_are_counted_and_told,
    the_daily_run_logs_rows_dated_ahead,
}

/// Rows in each of the two heaps: those that are counted, and those that no rollup holds yet. A run is slow on SQLite.
fn old(backend: &Backend) -> u32 {
    if backend.is_postgres() { 6_000 } else { 2_500 }
}

async fn a_run_beside_live_events_loses_none_and_changes_no_counter(backend: Backend) {
    let app = TestApp::open(&backend).await;
    let old = old(&backend);
    insert_old(&backend, old, app.now(), 91).await;
    eventually("they are counted", async || app.app.ingest.refresh().await).await;
    insert_old(&backend, old, app.now(), 100).await;
    let (stop, over) = (CancellationToken::new(), AtomicBool::new(false));
    let policy = Policy::of(&app.app.config);
    let run = async {
        let tally = make(&app.app.store, policy, app.now(), false, &stop).await.unwrap();
        over.store(true, Ordering::Relaxed);
        tally
    };
    let live = async {
        let mut tracked = 0;
        while !over.load(Ordering::Relaxed) || tracked < 50 {
            let calls = (0..10).map(|i| {
                let session = format!("live-{tracked}-{i}");
                let event = event(json!({"business_id": "business-1", "session_id": session}));
                app.post("/track").json(&event).send()
            });
            for reply in futures_util::future::join_all(calls).await {
                // A machine that is busy with other tests may be too slow for some.
                assert!([200, 202, 503].contains(&reply.status.as_u16()), "{}", reply.text());
                tracked += i64::from(reply.status == 200);
            }
            // Leaves the processor to the run.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        tracked
    };
    let (tally, tracked) = tokio::join!(run, live);
    let events = tally.iter().find(|done| done.kind == Retained::Events).unwrap();
    assert_eq!(events.rows, Some(2 * u64::from(old)));
    assert!(events.most_together <= 5_000, "{} rows in one transaction", events.most_together);
    eventually("every event is there and counted once", async || {
        let rows = backend.rows().await;
        let mut sums = Vec::new();
        for table in ["ai_totals_now", "ai_rollup_daily_now", "ai_latency_daily_now"] {
            sums.push(backend.number(&format!("select sum(events) from {table}")).await);
        }
        rows >= tracked && sums.iter().all(|sum| *sum == i64::from(2 * old) + rows)
    })
    .await;
    eventually("the counters are the sums", async || {
        let sum = backend.number("select sum(events) from ai_totals_now").await;
        app.app.ingest.refresh().await;
        app.metric("ai_response_time_seconds_count").await == Some(f64::from(i32::try_from(sum).unwrap()))
    })
    .await;
}

async fn a_dry_run_counts_what_a_run_would_delete_and_deletes_nothing(backend: Backend) {
    let now = real_now();
    drop(backend.store(&[]).await);
    insert_old(&backend, 300, now, 91).await;
    insert_old(&backend, 20, now, 89).await;
    assert_eq!(rows(&dry_run_at(&backend, &[], now).await, Retained::Events), Some(300));
    assert_eq!(backend.rows().await, 320);
    assert_eq!(rows(&run_at(&backend, &[], now).await.unwrap(), Retained::Events), Some(300));
    assert_eq!(rows(&run_at(&backend, &[], now).await.unwrap(), Retained::Events), Some(0));
    assert_eq!(backend.rows().await, 20);
    let told = told(&backend).await;
    assert_eq!(told.iter().map(|entry| &entry["rows"]["ai_metrics"]).collect::<Vec<_>>(), [300, 300, 0]);
}

async fn whole_days_back_from_the_run_decide_whatever_the_order_of_the_ids(backend: Backend) {
    let now = real_now();
    drop(backend.store(&[]).await);
    let week = [("RETENTION_DAYS", "7"), ("RETENTION_AT", "04:30"), ("TIME_ZONE", "Asia/Tokyo")];
    for days in [6, 8, 1, 4_000, 7, 0, 8] {
        insert_old(&backend, 10, now + TimeDelta::seconds(2), days).await;
    }
    assert_eq!(rows(&run_at(&backend, &week, now).await.unwrap(), Retained::Events), Some(30));
    assert_eq!(backend.rows().await, 40);
    let in_time = now + TimeDelta::seconds(4);
    assert_eq!(rows(&run_at(&backend, &week, in_time).await.unwrap(), Retained::Events), Some(10));
}

async fn a_row_without_a_time_is_kept_for_its_days_from_when_it_was_found(backend: Backend) {
    let (now, store) = (real_now(), backend.store(&[]).await);
    insert_old(&backend, 3, now, 1).await;
    backend.execute("update ai_metrics set created_at = null where business_id = 'business-1'").await;
    let later = |days| now + TimeDelta::days(days);
    let gone = async |days| rows(&run_at(&backend, &[], later(days)).await.unwrap(), Retained::Events);
    assert_eq!(gone(100).await, Some(2), "nobody can tell its age, and it is not counted yet");
    assert!(!store.count_foreign_rows(later(100)).await.unwrap().more);
    assert_eq!(gone(101).await, Some(0), "it is counted, and its time begins");
    assert_eq!(gone(101 + 90).await, Some(0));
    assert_eq!(gone(101 + 91).await, Some(1));
    assert_eq!(backend.number("select sum(events) from ai_totals_now").await, 3);
}

async fn events_are_kept_for_ever_where_retention_is_off(backend: Backend) {
    let now = real_now();
    drop(backend.store(&[]).await);
    insert_old(&backend, 10, now, 9_000).await;
    let off = [("RETENTION_DAYS", "off"), ("RETENTION_AUDIT_DAYS", "OFF")];
    assert_eq!(rows(&run_at(&backend, &off, now).await.unwrap(), Retained::Events), None);
    assert_eq!(backend.rows().await, 10);
}

async fn what_was_deleted_is_told_even_when_the_run_was_cut_off(backend: Backend) {
    let (now, store) = (real_now(), backend.store(&[]).await);
    insert_old(&backend, 5_000, now, 91).await;
    let (policy, stopped) = (Policy::of(&backend.config(&[])), CancellationToken::new());
    stopped.cancel();
    let cut = make(&store, policy, now, false, &stopped).await;
    assert!(matches!(cut, Err(Failure::Stopped)), "{cut:?}");
    let left = backend.rows().await;
    assert!((1..5_000).contains(&left), "{left}");
    // As a process that is killed leaves it: a run has begun, and some rows are gone.
    store.begin_retention(now).await.unwrap();
    backend.execute("insert into mlops_retention_deleted values ('ai_metrics', 17)").await;
    let tally = run_at(&backend, &[], now + TimeDelta::minutes(10)).await.unwrap();
    assert_eq!(rows(&tally, Retained::Events), Some(left.unsigned_abs()));
    let told = told(&backend).await;
    let told: Vec<_> = told.iter().map(|entry| (&entry["outcome"], &entry["rows"]["ai_metrics"])).collect();
    let expected = [("interrupted", 5_000 - left), ("interrupted", 17), ("done", left)];
    assert_eq!(
        told,
        expected.map(|(outcome, rows)| (json!(outcome), json!(rows))).each_ref().map(|(a, b)| (a, b))
    );
    assert!(store.retention_record().await.unwrap().unwrap().begun_at.is_none());
    assert_eq!(backend.number("select sum(events) from ai_totals_now").await, 5_000);
}

async fn rows_that_cannot_be_counted_are_kept(backend: Backend) {
    let now = real_now();
    let store = backend.store(&[]).await;
    insert_old(&backend, 30, now, 91).await;
    while store.count_foreign_rows(now).await.unwrap().more {}
    insert_old(&backend, 5, now, 91).await;
    // A sum that none can hold, which only a program that is wrong leaves behind.
    let full = match backend.is_postgres() {
        true => "alter table ai_rollup_pending add constraint full_up check (events[1] < 0) not valid",
        false => "create trigger full_up before update on ai_totals begin select raise(abort, 'full'); end",
    };
    backend.execute(full).await;
    let failure = run_at(&backend, &[], now).await.unwrap_err();
    assert!(matches!(failure, Failure::Uncountable(5)), "{failure}");
    assert_eq!(backend.number("select count(*) from ai_metrics where event_id is null").await, 5);
    assert_eq!(backend.rows().await, 5);
    let told = told(&backend).await;
    assert_eq!((&told[0]["outcome"], &told[0]["rows"]["ai_metrics"]), (&json!("failed"), &json!(30)));
}

async fn rows_dated_ahead_are_counted_and_told(backend: Backend) {
    let now = real_now();
    drop(backend.store(&[]).await);
    insert_old(&backend, 7, now, -2).await;
    insert_old(&backend, 3, now + TimeDelta::hours(20), 0).await;
    insert_old(&backend, 20, now, 91).await;
    let mut expected = 7;
    if backend.is_postgres() {
        insert_old(&backend, 4, now, 5).await;
        backend.execute("update ai_metrics set created_at = 'infinity' where id in (select id from ai_metrics order by id desc limit 4)").await;
        expected += 4;
    }
    for tally in [dry_run_at(&backend, &[], now).await, run_at(&backend, &[], now).await.unwrap()] {
        let events = tally.iter().find(|done| done.kind == Retained::Events).unwrap();
        assert_eq!((events.rows, events.ahead), (Some(20), expected));
    }
    let output = command(&backend, &[]).args(["retention", "run"]).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let line = format!("{expected} rows of ai_metrics are dated more than a day ahead or infinity");
    assert!(output.status.success() && told.contains(&line), "{told}");
    let off = run_at(&backend, &[("RETENTION_DAYS", "off")], now).await.unwrap();
    assert!(off.iter().all(|done| done.ahead == 0), "what is kept for ever has no time that it misses");
}

async fn the_daily_run_logs_rows_dated_ahead(backend: Backend) {
    let (now, store) = (real_now(), backend.store(&[]).await);
    store.ensure_retention_record(now - TimeDelta::days(3)).await.unwrap();
    store.close().await;
    insert_old(&backend, 3, now, -2).await;
    let service = Service::start(&backend, &[]);
    eventually("the run is made up for, and told", async || {
        service.log().contains("3 rows of ai_metrics are dated more than a day ahead or infinity")
    })
    .await;
}
