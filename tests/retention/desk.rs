//! What the service keeps of its own beside events.

use chrono::{DateTime, TimeDelta, Utc};
use mlops_service::audit::{Action, Actor};
use mlops_service::store::Retained;

use super::{rows, run_at};
use crate::harness::{Backend, on_every_backend, real_now};

on_every_backend! {
    the_audit_trail_is_cut_after_its_days_and_stays_whole,
    requests_that_are_done_go_and_open_ones_stay,
    of_consents_the_last_word_stays,
    ids_of_counted_events_go_after_a_month,
    what_the_service_dates_ahead_is_counted,
}

async fn the_audit_trail_is_cut_after_its_days_and_stays_whole(backend: Backend) {
    let (now, store) = (real_now(), backend.store(&[]).await);
    for days in [800, 731, 729, 10] {
        let entry = Actor::service().entry(Action::KeyCreated);
        store.append_audit(now - TimeDelta::days(days), &entry).await.unwrap();
    }
    assert_eq!(rows(&run_at(&backend, &[], now).await.unwrap(), Retained::Audit), Some(2));
    let left = backend.number("select count(*) from mlops_audit where action = 'key.created'").await;
    assert_eq!(left, 2);
    assert!(
        store.verify_audit(None, real_now(), std::time::Duration::from_secs(9)).await.unwrap().is_intact()
    );
    let off = [("RETENTION_AUDIT_DAYS", "off")];
    let later = now + TimeDelta::days(9_000);
    assert_eq!(rows(&run_at(&backend, &off, later).await.unwrap(), Retained::Audit), None);
}

/// A time as both databases take it.
fn days_ago(now: DateTime<Utc>, days: i64) -> String {
    format!("'{}'", (now - TimeDelta::days(days)).to_rfc3339())
}

async fn requests_that_are_done_go_and_open_ones_stay(backend: Backend) {
    let now = real_now();
    drop(backend.store(&[]).await);
    let row = |id: &str, done: String| {
        format!("('{id}', 'export', 'email', '', 'letter', {old}, {old}, {done})", old = days_ago(now, 900))
    };
    let rows_of =
        [row("done", days_ago(now, 731)), row("just", days_ago(now, 729)), row("open", "null".into())];
    backend
        .execute(&format!(
            "create table if not exists mlops_privacy_requests (id text primary key, kind text not null,
                selector text not null, subject {} not null, source text not null, received_at {time} not null,
                due_at {time} not null, done_at {time}, receipt_id text, counts text);
             insert into mlops_privacy_requests (id, kind, selector, subject, source, received_at, due_at, done_at)
                values {}",
            if backend.is_postgres() { "bytea" } else { "blob" },
            rows_of.join(", "),
            time = if backend.is_postgres() { "timestamptz" } else { "text" }
        ))
        .await;
    assert_eq!(rows(&run_at(&backend, &[], now).await.unwrap(), Retained::Requests), Some(1));
    assert_eq!(backend.number("select count(*) from mlops_privacy_requests where id <> 'done'").await, 2);
}

async fn of_consents_the_last_word_stays(backend: Backend) {
    let now = real_now();
    drop(backend.store(&[]).await);
    let (table, hash) = match backend.is_postgres() {
        true => (
            "create table if not exists mlops_consents (seq bigint generated always as identity primary key,
                id text not null unique, subject bytea not null, purpose text not null, policy_version text not null,
                granted boolean not null, source text not null, at timestamptz not null)",
            "decode('ab', 'hex')",
        ),
        false => (
            "create table if not exists mlops_consents (seq integer primary key autoincrement,
                id text not null unique, subject blob not null, purpose text not null, policy_version text not null,
                granted boolean not null, source text not null, at text not null)",
            "x'ab'",
        ),
    };
    backend.execute(table).await;
    // In the order in which they were noted: of each purpose, the last one holds.
    for (id, purpose, granted, days) in [
        ("kept", "chat_storage", true, 900),
        ("followed", "marketing", true, 900),
        ("withdrawn", "marketing", false, 800),
        ("granted-then", "analytics", true, 800),
        ("withdrawn-now", "analytics", false, 5),
    ] {
        let at = days_ago(now, days);
        backend
            .execute(&format!(
                "insert into mlops_consents (id, subject, purpose, policy_version, granted, source, at)
                 values ('{id}', {hash}, '{purpose}', '1', {granted}, 'test', {at})"
            ))
            .await;
    }
    assert_eq!(rows(&run_at(&backend, &[], now).await.unwrap(), Retained::Consents), Some(2));
    let left = "select count(*) from mlops_consents where id in ('kept', 'withdrawn', 'withdrawn-now')";
    assert_eq!(backend.number(left).await, 3, "a withdrawal holds as long as a consent");
}

async fn ids_of_counted_events_go_after_a_month(backend: Backend) {
    let now = real_now();
    drop(backend.store(&[]).await);
    let (table, id) = match backend.is_postgres() {
        true => (
            "create table if not exists mlops_counted_events (event_id uuid primary key, at timestamptz not null)",
            (|n| format!("'00000000-0000-4000-8000-{n:012}'")) as fn(i64) -> String,
        ),
        false => (
            "create table if not exists mlops_counted_events (event_id blob primary key, at text not null)
             without rowid",
            (|n: i64| format!("x'{n:032}'")) as fn(i64) -> String,
        ),
    };
    backend.execute(table).await;
    let ids = (0..60).map(|days| format!("({}, {})", id(days), days_ago(now + TimeDelta::seconds(1), days)));
    let ids: Vec<String> = ids.collect();
    backend
        .execute(&format!("insert into mlops_counted_events (event_id, at) values {}", ids.join(", ")))
        .await;
    assert_eq!(rows(&run_at(&backend, &[], now).await.unwrap(), Retained::CountedIds), Some(29));
    assert_eq!(backend.number("select count(*) from mlops_counted_events").await, 31);
}

async fn what_the_service_dates_ahead_is_counted(backend: Backend) {
    let (now, store) = (real_now(), backend.store(&[]).await);
    for days in [-1, 0, 2, 3] {
        let entry = Actor::service().entry(Action::KeyCreated);
        store.append_audit(now + TimeDelta::days(days), &entry).await.unwrap();
    }
    let ahead = days_ago(now, -40);
    let empty = if backend.is_postgres() { "''" } else { "x''" };
    backend
        .execute(&format!(
            "insert into mlops_consents (id, subject, purpose, policy_version, granted, source, at)
                values ('1', {empty}, 'p', '1', true, 's', {ahead}), ('2', {empty}, 'p', '1', true, 's', 'infinity');
             insert into mlops_privacy_requests (id, kind, selector, subject, source, received_at, due_at, done_at)
                values ('1', 'export', 'email', {empty}, 's', {ahead}, {ahead}, {ahead})"
        ))
        .await;
    let tally = run_at(&backend, &[], now).await.unwrap();
    let ahead = |kind| tally.iter().find(|done| done.kind == kind).unwrap().ahead;
    assert_eq!((ahead(Retained::Audit), ahead(Retained::Consents), ahead(Retained::Requests)), (2, 2, 1));
}
