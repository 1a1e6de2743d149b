//! What is kept for a time only goes when its time is over, and nothing else changes.

mod command;
mod desk;
mod events;
mod facts;
mod receptionist;
mod task;

use chrono::{DateTime, TimeDelta, Utc};
use mlops_service::audit::Actor;
use mlops_service::clock::Clock;
use mlops_service::metrics::RetentionMetrics;
use mlops_service::retention::{Failure, Policy, Run, Tally};
use mlops_service::store::{Retained, Store};
use tokio_util::sync::CancellationToken;

use crate::harness::Backend;

/// Makes a run at `now`, as these settings ask for it.
async fn run_at(backend: &Backend, settings: &[(&str, &str)], now: DateTime<Utc>) -> Result<Tally, Failure> {
    let stop = CancellationToken::new();
    make(&backend.store(settings).await, Policy::of(&backend.config(settings)), now, false, &stop).await
}

/// The same, of which nothing is deleted.
async fn dry_run_at(backend: &Backend, settings: &[(&str, &str)], now: DateTime<Utc>) -> Tally {
    let stop = CancellationToken::new();
    let policy = Policy::of(&backend.config(settings));
    make(&backend.store(settings).await, policy, now, true, &stop).await.unwrap()
}

async fn make(
    store: &Store,
    policy: Policy,
    now: DateTime<Utc>,
    dry: bool,
    stop: &CancellationToken,
) -> Result<Tally, Failure> {
    let (clock, metrics) = (Clock::new(move || now), RetentionMetrics::new());
    let (by, observer) = (Actor::service(), None);
    let run = Run { store, policy, clock: &clock, by, dry, stop, metrics: &metrics, observer };
    run.execute(|_record| true).await.map(Option::unwrap)
}

/// How many rows of a table a run took.
fn rows(tally: &Tally, kind: Retained) -> Option<u64> {
    tally.iter().find(|done| done.kind == kind).unwrap().rows
}

/// Inserts `count` rows of twenty businesses into `ai_metrics` as another program would, `days` old at `now` to the second.
async fn insert_old(backend: &Backend, count: u32, now: DateTime<Utc>, days: i64) {
    let at = (now - TimeDelta::days(days)).format("%Y-%m-%d %H:%M:%S");
    let numbers = match backend.is_postgres() {
        true => format!("generate_series(1, {count}) as numbers(n)"),
        false => format!(
            "(with recursive counted(n) as (select 1 union all select n + 1 from counted where n < {count})
              select n from counted)"
        ),
    };
    let insert = format!(
        "insert into ai_metrics (business_id, conversation_id, session_id, response_time_ms, success_rate, tokens_used,
            api_cost_usd, model_name, intent_detected, appointment_requested, user_message_length, ai_response_length,
            response_type, created_at)
         select 'business-' || (n % 20), 'c-' || n, 's-' || n, 150, 0.95, 75, 0.002, 'gemini-1.5-flash', 'appointment',
            true, 42, 120, 'booking', '{at}' from {numbers}"
    );
    backend.execute(&insert).await;
}

/// The details of the audit entries of runs, one line each.
async fn told(backend: &Backend) -> Vec<serde_json::Value> {
    let store = backend.store(&[]).await;
    let entries = store.audit(0, DateTime::<Utc>::UNIX_EPOCH, 100).await.unwrap();
    let entries =
        entries.into_iter().map(Result::unwrap).filter(|entry| entry.action.starts_with("retention."));
    entries.map(|entry| serde_json::from_str(&entry.details).unwrap()).collect()
}
