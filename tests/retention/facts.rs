//! Facts about conversations, which go with the events, and what is kept as long as they are.

use chrono::{DateTime, TimeDelta, Utc};
use mlops_service::store::Retained;

use super::{dry_run_at, insert_old, rows, run_at};
use crate::harness::{Backend, on_every_backend, real_now};

on_every_backend! {
    facts_go_with_the_events_and_leave_the_sums,
    outcomes_stay_as_long_as_the_facts,
    what_was_read_of_appointments_stays_as_long_as_a_change_may_come,
    appointments_that_a_run_deletes_count_on,
    times_far_apart_take_no_longer,
}

fn time(now: DateTime<Utc>, days: i64) -> String {
    (now - TimeDelta::days(days)).to_rfc3339()
}

/// Inserts facts about a conversation whose last answer was given so many days ago.
async fn facts(backend: &Backend, conversation: &str, now: DateTime<Utc>, days: i64) {
    facts_at(backend, conversation, &time(now, days)).await;
}

async fn facts_at(backend: &Backend, conversation: &str, at: &str) {
    backend
        .execute(&format!(
            "insert into mlops_conversations (business_id, conversation_id, day, hour, first_at, last_at, first_response_ms,
                first_intent, answers, requested, claimed, handoff, error, tokens, cost_nanos, in_book, posted, value_micros)
             values ('acme', '{conversation}', '2026-01-01', 0, '2000-01-01T00:00:00+00:00', '{at}', 1, 'i', 1, true, true,
                false, false, 1, 1, true, true, 1)"
        ))
        .await;
}

/// Inserts an outcome that occurred so many days ago.
async fn outcome(backend: &Backend, conversation: &str, now: DateTime<Utc>, days: i64) {
    let (id, at) = (backend.new_uuid(), time(now, days));
    backend
        .execute(&format!(
            "insert into mlops_outcomes (business_id, outcome_id, conversation_id, outcome, occurred_at)
             values ('acme', {id}, '{conversation}', 'kept', '{at}')"
        ))
        .await;
}

/// The conversations that a table names.
async fn left(backend: &Backend, table: &str) -> Vec<String> {
    backend.texts(&format!("select conversation_id from {table} order by conversation_id")).await
}

async fn facts_go_with_the_events_and_leave_the_sums(backend: Backend) {
    let now = real_now();
    drop(backend.store(&[]).await);
    backend
        .execute(&format!(
            "insert into mlops_conversation_daily values ('acme', '2026-01-01', 3{});
             insert into mlops_outcome_daily values ('acme', '2026-01-01', 'kept', 3)",
            ", 1".repeat(19)
        ))
        .await;
    for (conversation, days) in [("old", 91), ("older", 400), ("young", 89), ("ahead", -3)] {
        facts(&backend, conversation, now, days).await;
    }
    let off = [("RETENTION_DAYS", "off")];
    assert_eq!(rows(&run_at(&backend, &off, now).await.unwrap(), Retained::Facts), None);
    assert_eq!(rows(&dry_run_at(&backend, &[], now).await, Retained::Facts), Some(2));
    let tally = run_at(&backend, &[], now).await.unwrap();
    let done = tally.iter().find(|done| done.kind == Retained::Facts).unwrap();
    assert_eq!((done.rows, done.ahead), (Some(2), 1));
    assert_eq!(left(&backend, "mlops_conversations").await, ["ahead", "young"]);
    let sums = "select sum(conversations) from (select conversations from mlops_conversation_daily
        union all select outcomes from mlops_outcome_daily) s";
    assert_eq!(backend.number(sums).await, 6);
}

async fn outcomes_stay_as_long_as_the_facts(backend: Backend) {
    let now = real_now();
    drop(backend.store(&[]).await);
    for (conversation, days) in [("old", 91), ("lasting", 5)] {
        facts(&backend, conversation, now, days).await;
    }
    for (conversation, days) in [("old", 91), ("old", 2), ("lasting", 91), ("no-facts", 91), ("new", 89)] {
        outcome(&backend, conversation, now, days).await;
    }
    let tally = run_at(&backend, &[], now).await.unwrap();
    assert_eq!(rows(&tally, Retained::Outcomes), Some(2));
    assert_eq!(left(&backend, "mlops_outcomes").await, ["lasting", "new", "old"]);
}

async fn what_was_read_of_appointments_stays_as_long_as_a_change_may_come(backend: Backend) {
    let (backend, now) = (backend.with_app_tables().await, real_now());
    facts(&backend, "c-facts", now, 5).await;
    backend
        .execute(
            "insert into conversations (id, business_id) values ('c-there', 'acme');
             insert into appointments (id, business_id, conversation_id, customer_name) values
                ('there', 'acme', 'c-there', 'x'), ('unlinked', 'acme', null, 'x')",
        )
        .await;
    let held = |days| format!("'{}'", (now - TimeDelta::days(days)).format("%Y-%m-%dT%H:%M:%S"));
    for (appointment, conversation, held, settled) in [
        ("there", "c-there", held(91), "false"),
        ("unlinked", "c-gone", held(91), "false"),
        ("gone", "c-gone", held(91), "false"),
        ("dateless", "c-gone", "null".to_owned(), "false"),
        ("to-come", "c-gone", held(-9), "false"),
        ("settled", "c-gone", held(-9), "true"),
        ("settled-facts", "c-facts", held(91), "true"),
    ] {
        backend
            .execute(&format!(
                "insert into mlops_book (appointment_id, business_id, conversation_id, outcome, held_at, settled)
                 values ('{appointment}', 'acme', '{conversation}', 'booked', {held}, {settled})"
            ))
            .await;
    }
    let tally = run_at(&backend, &[], now).await.unwrap();
    assert_eq!(rows(&tally, Retained::Book), Some(4));
    let left = "select appointment_id from mlops_book order by 1";
    assert_eq!(backend.texts(left).await, ["settled-facts", "there", "to-come"]);
    backend.execute("drop table appointments").await;
    assert_eq!(rows(&run_at(&backend, &[], now).await.unwrap(), Retained::Book), Some(1));
    assert_eq!(backend.texts(left).await, ["settled-facts", "to-come"], "no book is shared any more");
}

async fn appointments_that_a_run_deletes_count_on(backend: Backend) {
    let (backend, now) = (backend.with_app_tables().await, real_now());
    let (old, young) = (time(now, 40), time(now, 5));
    let day = (now - TimeDelta::days(40)).format("%Y-%m-%d");
    backend
        .execute(&format!(
            "insert into conversations (id, business_id, created_at, updated_at) values
                ('c-old', 'acme', '{old}', '{old}'), ('c-young', 'acme', '{young}', '{young}');
             insert into appointments (id, business_id, conversation_id, customer_name, appointment_date, created_at) values
                ('old', 'acme', 'c-young', 'x', '{day}', '{old}'), ('young', 'acme', 'c-young', 'x', '{day}', '{young}'),
                ('of-old', 'acme', 'c-old', 'x', '{day}', '{young}')"
        ))
        .await;
    for (appointment, conversation) in [("old", "c-young"), ("young", "c-young"), ("of-old", "c-old")] {
        facts(&backend, &format!("{conversation}-{appointment}"), now, 5).await;
        backend.plant_booking(appointment, "acme", conversation).await;
        backend.plant_facts("acme", conversation).await;
    }
    backend.execute(&format!("update mlops_conversations set last_at = '{young}'")).await;
    let settled = "select appointment_id from mlops_book where settled order by 1";
    let tally = run_at(&backend, &[("RETENTION_APPOINTMENTS_DAYS", "30")], now).await.unwrap();
    assert_eq!(rows(&tally, Retained::Appointments), Some(1));
    assert_eq!(backend.texts(settled).await, ["old"]);
    let tally = run_at(&backend, &[("RETENTION_CHATS_DAYS", "30")], now).await.unwrap();
    assert_eq!(rows(&tally, Retained::Conversations), Some(1));
    assert_eq!(backend.texts(settled).await, ["of-old", "old"], "it names no conversation any more");
    assert_eq!(backend.number("select count(*) from mlops_book").await, 3, "the facts are there");
}

async fn times_far_apart_take_no_longer(backend: Backend) {
    let now = real_now();
    drop(backend.store(&[]).await);
    for (conversation, at) in [
        ("first", "0001-01-01T00:00:00+00:00"),
        ("old", "1970-01-01T00:00:00+00:00"),
        ("young", &now.to_rfc3339()),
        ("ahead", "9999-12-30T00:00:00+00:00"),
    ] {
        facts_at(&backend, conversation, at).await;
    }
    let tally = run_at(&backend, &[], now).await.unwrap();
    let done = tally.iter().find(|done| done.kind == Retained::Facts).unwrap();
    assert_eq!((done.rows, done.ahead), (Some(2), 1));
    assert_eq!(left(&backend, "mlops_conversations").await, ["ahead", "young"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_not_digested_yet_stay() {
    let (backend, now) = (Backend::postgres().await, real_now());
    let store = backend.store(&[]).await;
    insert_old(&backend, 5, now, 91).await;
    while store.count_foreign_rows(now).await.unwrap().more {}
    backend
        .execute(
            "delete from mlops_undigested;
             insert into mlops_undigested (event_rows) select array_agg(id) from
                (select id from ai_metrics order by id limit 2) first;
             insert into mlops_undigested (event_rows) values ('{}'), (array[-1])",
        )
        .await;
    assert_eq!(rows(&dry_run_at(&backend, &[], now).await, Retained::Events), Some(3));
    assert_eq!(rows(&run_at(&backend, &[], now).await.unwrap(), Retained::Events), Some(3));
    assert_eq!(backend.rows().await, 2);
    backend.execute("delete from mlops_undigested").await;
    assert_eq!(rows(&run_at(&backend, &[], now).await.unwrap(), Retained::Events), Some(2));
    assert_eq!(backend.rows().await, 0);
}
