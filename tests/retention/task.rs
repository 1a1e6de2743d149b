//! When runs are made, and by whom.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use mlops_service::clock::Clock;
use mlops_service::metrics::Metrics;
use mlops_service::retention::{RetentionTask, Tally};
use mlops_service::store::{Retained, Store};
use tokio_util::sync::CancellationToken;

use super::{insert_old, rows, run_at, told};
use crate::harness::{Backend, eventually, on_every_backend};

on_every_backend! {
    a_day_has_one_run_whichever_replica_makes_it,
    a_run_that_was_missed_is_made_at_the_next_start,
    a_run_that_failed_is_made_within_the_hour,
    one_run_is_made_at_a_time_and_none_waits_for_a_process_that_is_gone,
}

/// A replica, whose clock the test sets.
struct Replica {
    store: Store,
    task: RetentionTask,
    metrics: Metrics,
    now: Arc<AtomicI64>,
}

impl Replica {
    async fn start(backend: &Backend, now: DateTime<Utc>) -> Self {
        let config = backend.config(&[("TIME_ZONE", "Europe/Berlin")]);
        let (store, metrics) = (backend.store(&[]).await, Metrics::new().0);
        let micros = Arc::new(AtomicI64::new(now.timestamp_micros()));
        let hand = micros.clone();
        let clock =
            Clock::new(move || DateTime::from_timestamp_micros(hand.load(Ordering::Relaxed)).unwrap());
        let task = RetentionTask::new(&config, store.clone(), clock, metrics.retention().clone());
        Self { store, task, metrics, now: micros }
    }

    /// Executes a run if one is due at `now`.
    async fn run_if_due(&mut self, now: DateTime<Utc>) -> Option<Tally> {
        self.now.store(now.timestamp_micros(), Ordering::Relaxed);
        self.task.run_if_due(&CancellationToken::new()).await
    }

    fn metric(&self, series: &str) -> Option<f64> {
        let text = self.metrics.text();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        Some(line.parse().unwrap())
    }
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

async fn a_day_has_one_run_whichever_replica_makes_it(backend: Backend) {
    let noon = at("2026-07-01T12:00:00Z");
    let mut replicas = [Replica::start(&backend, noon).await, Replica::start(&backend, noon).await];
    insert_old(&backend, 100, noon, 91).await;
    for replica in &mut replicas {
        assert!(replica.run_if_due(noon).await.is_none(), "the first run is at the next 03:00");
        assert_eq!(replica.metric(r#"retention_overdue_rows{table="ai_metrics"}"#), Some(100.0));
        assert_eq!(replica.metric("retention_last_success_timestamp_seconds"), Some(0.0));
    }
    let night = at("2026-07-02T01:00:00Z");
    let [first, second] = &mut replicas;
    assert!(first.run_if_due(night - TimeDelta::seconds(1)).await.is_none());
    let (one, other) =
        tokio::join!(first.run_if_due(night), second.run_if_due(night + TimeDelta::seconds(3)));
    let made: Vec<Tally> = [one, other].into_iter().flatten().collect();
    assert_eq!(made.len(), 1);
    assert_eq!(rows(&made[0], Retained::Events), Some(100));
    for replica in &mut replicas {
        assert!(replica.run_if_due(night + TimeDelta::minutes(6)).await.is_none());
        assert_eq!(replica.metric(r#"retention_overdue_rows{table="ai_metrics"}"#), Some(0.0));
        let last = replica.metric("retention_last_success_timestamp_seconds").unwrap();
        #[expect(clippy::cast_precision_loss, reason = "seconds are whole")]
        let after = last - night.timestamp() as f64;
        assert!((0.0..=3.0).contains(&after), "{last}");
    }
    let sum = async |series: &str| replicas[0].metric(series).unwrap() + replicas[1].metric(series).unwrap();
    assert!((sum(r#"retention_deleted_rows_total{table="ai_metrics"}"#).await - 100.0).abs() < 0.5);
    assert!((sum(r#"retention_runs_total{outcome="done"}"#).await - 1.0).abs() < 0.5);
    assert_eq!(told(&backend).await.len(), 1);
}

async fn a_run_that_was_missed_is_made_at_the_next_start(backend: Backend) {
    let night = at("2026-07-02T01:00:00Z");
    let mut replica = Replica::start(&backend, night).await;
    assert!(replica.run_if_due(night - TimeDelta::hours(5)).await.is_none());
    assert!(replica.run_if_due(night).await.is_some());
    drop(replica);
    let morning = night + TimeDelta::days(3) + TimeDelta::hours(6);
    let mut replica = Replica::start(&backend, morning).await;
    assert!(replica.run_if_due(morning).await.is_some());
    assert!(replica.run_if_due(morning + TimeDelta::hours(1)).await.is_none());
    assert!(replica.run_if_due(night + TimeDelta::days(4)).await.is_some(), "the next one is at 03:00 again");
}

async fn a_run_that_failed_is_made_within_the_hour(backend: Backend) {
    let night = at("2026-07-02T01:00:00Z");
    let mut replica = Replica::start(&backend, night).await;
    insert_old(&backend, 100, night, 91).await;
    assert!(replica.run_if_due(night - TimeDelta::hours(5)).await.is_none());
    let (forbid, allow) = match backend.is_postgres() {
        true => (
            "create function keep() returns trigger language plpgsql as $$ begin raise 'no'; end $$;
             create trigger keep before delete on ai_metrics execute function keep()",
            "drop trigger keep on ai_metrics",
        ),
        false => (
            "create trigger keep before delete on ai_metrics begin select raise(abort, 'no'); end",
            "drop trigger keep",
        ),
    };
    backend.execute(forbid).await;
    assert!(replica.run_if_due(night).await.is_none());
    assert_eq!(replica.metric(r#"retention_runs_total{outcome="failed"}"#), Some(1.0));
    assert_eq!(replica.metric(r#"retention_overdue_rows{table="ai_metrics"}"#), Some(100.0));
    backend.execute(allow).await;
    assert!(replica.run_if_due(night + TimeDelta::minutes(29)).await.is_none());
    let made = replica.run_if_due(night + TimeDelta::minutes(30)).await.unwrap();
    assert_eq!(rows(&made, Retained::Events), Some(100));
    assert_eq!(replica.metric(r#"retention_overdue_rows{table="ai_metrics"}"#), Some(0.0));
    let told: Vec<String> = told(&backend).await.iter().map(|entry| entry["outcome"].to_string()).collect();
    assert_eq!(told, [r#""failed""#, r#""done""#]);
}

async fn one_run_is_made_at_a_time_and_none_waits_for_a_process_that_is_gone(backend: Backend) {
    let night = at("2026-07-02T01:00:00Z");
    let mut replica = Replica::start(&backend, night).await;
    assert!(replica.run_if_due(night - TimeDelta::hours(5)).await.is_none());
    let elsewhere = backend.store(&[]).await;
    let lock = elsewhere.lock_retention().await.unwrap().unwrap();
    assert!(replica.run_if_due(night).await.is_none());
    assert!(replica.store.lock_retention().await.unwrap().is_none());
    let busy = run_at(&backend, &[], night).await.unwrap_err();
    assert_eq!(busy.to_string(), "another run is in progress");
    // Not released in order: as when its process dies.
    drop(lock);
    let replica = tokio::sync::Mutex::new(replica);
    eventually("the lock is free", async || {
        replica.lock().await.run_if_due(night + TimeDelta::seconds(40)).await.is_some()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_overdue_in_a_large_table_is_estimated() {
    let (backend, night) = (Backend::postgres().await, at("2026-07-02T01:00:00Z"));
    let mut replica = Replica::start(&backend, night).await;
    for (rows, days) in [(30_000, 95), (30_000, 5)] {
        insert_old(&backend, rows, night, days).await;
    }
    assert!(replica.run_if_due(night).await.is_none());
    assert!(backend.number("select pg_relation_size('ai_metrics') / 8192").await > 1_000);
    let overdue = replica.metric(r#"retention_overdue_rows{table="ai_metrics"}"#).unwrap();
    assert!((20_000.0..40_000.0).contains(&overdue), "{overdue} of 30000");
}
