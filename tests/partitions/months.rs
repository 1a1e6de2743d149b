//! The months of the partitioned table.

use chrono::{DateTime, Months, TimeDelta, Utc};
use mlops_service::clock::Clock;
use mlops_service::metrics::RetentionMetrics;
use mlops_service::retention::RetentionTask;
use mlops_service::store::Store;
use tokio_util::sync::CancellationToken;

use super::{assert_ids, done, insert, lab};
use crate::harness::{Backend, command, real_now};

/// How many rows are in the partition of the month of `at`.
async fn in_month(backend: &Backend, at: DateTime<Utc>) -> i64 {
    backend.number(&format!("select count(*) from ai_metrics_{}", at.format("%Y_%m"))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_in_the_partition_of_their_month_and_those_without_a_time_in_the_default() {
    let (backend, now) = (lab().await, real_now());
    let before = now.checked_sub_months(Months::new(7)).unwrap();
    insert(&backend, 6, &format!("timestamp '{}'", before.naive_utc())).await;
    insert(&backend, 4, "now() at time zone 'UTC'").await;
    insert(&backend, 3, "null").await;
    insert(&backend, 2, "timestamp '1999-01-01'").await;
    insert(&backend, 1, "timestamp 'infinity'").await;
    done(&backend, &["--yes"]);
    assert_eq!(in_month(&backend, before).await, 6);
    assert_eq!(in_month(&backend, now).await, 4);
    assert_eq!(backend.number("select count(*) from ai_metrics_default").await, 6);
    let ahead = now.checked_add_months(Months::new(12)).unwrap();
    assert_eq!(in_month(&backend, ahead).await, 0);
    assert_ids(&backend).await;
    // A row that gets a time moves, and its id is still unique.
    backend
        .execute("update ai_metrics set created_at = now() at time zone 'UTC' where created_at is null")
        .await;
    assert_eq!(in_month(&backend, now).await, 7);
    assert_ids(&backend).await;
    let again =
        backend.try_execute("insert into ai_metrics select * from ai_metrics limit 1").await.unwrap_err();
    assert_eq!(again.as_database_error().unwrap().constraint(), Some("mlops_event_ids_pkey"));
    backend.execute("truncate ai_metrics").await;
    assert_ids(&backend).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_run_makes_the_months_of_rows_that_came_without_one() {
    let (backend, now) = (Backend::partitioned().await, real_now());
    let before = now.checked_sub_months(Months::new(3)).unwrap();
    insert(&backend, 5, &format!("timestamp '{}'", before.naive_utc())).await;
    let ahead = now.checked_add_months(Months::new(12)).unwrap();
    backend.execute(&format!("drop table ai_metrics_{}", ahead.format("%Y_%m"))).await;
    insert(&backend, 2, &format!("timestamp '{}'", ahead.naive_utc())).await;
    assert_eq!(backend.number("select count(*) from ai_metrics_default").await, 7);
    assert!(done(&backend, &[]).contains("--yes makes the months that are missing"));
    assert!(done(&backend, &["--yes"]).contains("2 months were missing"));
    assert_eq!(in_month(&backend, before).await, 5);
    assert_eq!(in_month(&backend, ahead).await, 2);
    assert_eq!(backend.number("select count(*) from ai_metrics_default").await, 0);
    assert_ids(&backend).await;
    assert!(done(&backend, &["--yes"]).contains("0 months were missing"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_makes_the_months_ahead_and_the_check_tells_when_none_does() {
    let backend = Backend::partitioned().await;
    let (config, store) = (backend.config(&[]), backend.store(&[]).await);
    let later = real_now() + TimeDelta::days(70);
    assert!((8..=10).contains(&store.event_months(later).await.unwrap().unwrap().ahead));
    let mut task =
        RetentionTask::new(&config, store.clone(), Clock::new(move || later), RetentionMetrics::new());
    task.run_if_due(&CancellationToken::new()).await;
    assert_eq!(store.event_months(later).await.unwrap().unwrap().ahead, 12);
    assert_eq!(Store::open(&config).unwrap().add_event_months(later).await.unwrap(), 0);
    let verdict = async || {
        let output = command(&backend, &[]).arg("check").output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        told.lines().find(|line| line.split_whitespace().nth(1) == Some("partitions")).unwrap().to_owned()
    };
    assert!(verdict().await.starts_with("ok"), "{}", verdict().await);
    let next = real_now().checked_add_months(Months::new(2)).unwrap();
    backend.execute(&format!("drop table ai_metrics_{}", next.format("%Y_%m"))).await;
    let told = verdict().await;
    assert!(told.starts_with("WRONG") && told.contains("mlops-service partition --yes"), "{told}");
}
