//! Retention of partitioned events.

use chrono::{Months, NaiveDate, TimeDelta};
use mlops_service::audit::Actor;
use mlops_service::clock::Clock;
use mlops_service::metrics::RetentionMetrics;
use mlops_service::retention::{Policy, Run, Tally};
use mlops_service::store::Retained;
use tokio_util::sync::CancellationToken;

use super::{assert_ids, complete, insert, lab};
use crate::harness::{Backend, insert_as_the_app, real_now};
use crate::partitions::begun;

async fn run(backend: &Backend, dry: bool) -> Tally {
    let (store, now) = (backend.store(&[]).await, real_now());
    let (stop, metrics, clock) = (CancellationToken::new(), RetentionMetrics::new(), Clock::new(move || now));
    let policy = Policy::of(&backend.config(&[]));
    let by = Actor::service();
    let run =
        Run { store: &store, policy, clock: &clock, by, dry, stop: &stop, metrics: &metrics, observer: None };
    run.execute(|_record| true).await.unwrap().unwrap()
}

fn rows(tally: &Tally) -> (Option<u64>, u64) {
    let events = tally.iter().find(|done| done.kind == Retained::Events).unwrap();
    (events.rows, events.most_together)
}

/// Events of today, of the day before retention, of a month before that, and of two that have an uncounted and an undated row.
async fn with_old_months() -> (Backend, NaiveDate) {
    let (backend, now) = (lab().await, real_now());
    let months_ago = |months| now.checked_sub_months(Months::new(months)).unwrap();
    insert(&backend, 10, "now() at time zone 'UTC'").await;
    insert(&backend, 200, &format!("timestamp '{}'", (now - TimeDelta::days(91)).naive_utc())).await;
    insert(&backend, 6_000, &format!("timestamp '{}'", months_ago(6).naive_utc())).await;
    insert(&backend, 300, &format!("timestamp '{}'", months_ago(8).naive_utc())).await;
    insert_as_the_app(&backend, "uncounted", (now - months_ago(8)).num_minutes()).await;
    insert(&backend, 7, "timestamp '1999-01-01'").await;
    insert(&backend, 5, "null").await;
    complete(begun(&backend).await).await;
    (backend, months_ago(6).date_naive())
}

#[tokio::test(flavor = "multi_thread")]
async fn months_go_as_a_whole_and_the_rest_row_by_row() {
    let (backend, whole) = with_old_months().await;
    let all = 200 + 6_000 + 300 + 1 + 7;
    assert_eq!(rows(&run(&backend, true).await).0, Some(all));
    let (deleted, together) = rows(&run(&backend, false).await);
    assert_eq!(deleted, Some(all));
    assert!(together < 6_000, "{together} rows were deleted in one transaction");
    assert_eq!(backend.rows().await, 15, "the five without a time have one now");
    assert_ids(&backend).await;
    let gone =
        format!("select count(*) from pg_class where relname = 'ai_metrics_{}'", whole.format("%Y_%m"));
    assert_eq!(backend.number(&gone).await, 0);
    assert_eq!(backend.number("select sum(events) from ai_totals_now").await, 1, "the row of the app counts");
    let told = backend.texts("select details from mlops_audit where action = 'retention.run'").await;
    assert!(told[0].contains(&format!("\"ai_metrics\":{all}")), "{told:?}");
    // The month whose row was not counted is empty now.
    run(&backend, false).await;
    let months = "select count(*) from pg_inherits where inhparent = 'ai_metrics'::regclass";
    let left = backend.number(months).await;
    assert!((14..=16).contains(&left), "{left} partitions");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_drop_rows_are_deleted() {
    let (backend, whole) = with_old_months().await;
    let database = backend.database().to_owned();
    let role = format!("service_of_{database}");
    backend
        .execute(&format!(
            "create role {role} login; grant select, insert, update, delete on all tables in schema public to {role};
             grant usage on all sequences in schema public to {role}; revoke all on ai_metrics_default from {role}"
        ))
        .await;
    let service = Backend {
        url: backend.url.replace("postgres@", &format!("{role}@")),
        folder: backend.folder.clone(),
    };
    assert_eq!(rows(&run(&service, false).await).0, Some(200 + 6_000 + 300 + 1 + 7));
    assert_eq!(
        backend.number(&format!("select count(*) from ai_metrics_{}", whole.format("%Y_%m"))).await,
        0
    );
    assert_eq!(backend.rows().await, 15);
    assert_ids(&backend).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_with_rows_that_are_not_digested_stays() {
    let (backend, whole) = with_old_months().await;
    let table = format!("ai_metrics_{}", whole.format("%Y_%m"));
    backend
        .execute(&format!(
            "insert into mlops_undigested (event_rows)
             select array_agg(id) from (select cast(id as bigint) as id from {table} limit 3) three"
        ))
        .await;
    assert_eq!(rows(&run(&backend, false).await).0, Some(200 + 5_997 + 300 + 1 + 7));
    assert_eq!(backend.number(&format!("select count(*) from {table}")).await, 3);
    assert_ids(&backend).await;
    backend.store(&[]).await.digest_all().await.unwrap();
    assert_eq!(rows(&run(&backend, false).await).0, Some(3));
    assert_eq!(backend.number(&format!("select count(*) from pg_class where relname = '{table}'")).await, 0);
    assert_ids(&backend).await;
}
