//! `ai_metrics` partitioned by month: turning the table over, and what it is like afterwards.

mod months;
mod retention;
mod turnover;
mod under_way;

use std::process::Output;

use mlops_service::store::{Partitioning, Store};

use crate::harness::{Backend, LAB_TABLE, command, real_now};

/// The table of events as in the labs, migrated.
async fn lab() -> Backend {
    let backend = Backend::postgres().await;
    backend.execute(LAB_TABLE).await;
    drop(backend.store(&[]).await);
    backend
}

/// Runs `mlops-service partition` with these arguments.
fn partition(backend: &Backend, arguments: &[&str]) -> Output {
    command(backend, &[]).arg("partition").args(arguments).output().unwrap()
}

/// Returns what it says when it is refused.
fn refused(backend: &Backend, arguments: &[&str]) -> String {
    let output = partition(backend, arguments);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    told
}

/// Returns what it prints when it succeeds.
fn done(backend: &Backend, arguments: &[&str]) -> String {
    let output = partition(backend, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Begins a turnover, and copies one step.
async fn begun(backend: &Backend) -> Partitioning {
    let store = Store::open(&backend.config(&[])).unwrap();
    let mut partitioning = store.partitioning().await.unwrap();
    partitioning.begin(real_now()).await.unwrap();
    partitioning.copy_some().await.unwrap();
    partitioning
}

/// Completes a turnover.
async fn complete(mut partitioning: Partitioning) {
    while !partitioning.copy_some().await.unwrap().is_done {}
    partitioning.verify().await.unwrap();
    partitioning.switch().await.unwrap();
}

/// Inserts `count` rows with ids of events, `created_at` of each by its number `n`.
async fn insert(backend: &Backend, count: u32, created_at: &str) {
    let rows = format!(
        "insert into ai_metrics (event_id, business_id, conversation_id, session_id, response_time_ms, success_rate, tokens_used,
            api_cost_usd, model_name, intent_detected, user_message_length, ai_response_length, response_type, created_at)
         select gen_random_uuid(), 'b-' || n % 3, 'c-' || n, 's', 1, 1, 1, 0, 'm', 'i', 1, 1, 'r', {created_at}
         from generate_series(1, {count}) n"
    );
    backend.execute(&rows).await;
}

/// Asserts that each stored event has its id in the table of ids, with its month, and no other has.
async fn assert_ids(backend: &Backend) {
    let of_rows = "select event_id, cast(business_id as text), cast(date_trunc('month', created_at) as date) from ai_metrics
        where event_id is not null";
    let ids = "select event_id, business_id, month from mlops_event_ids";
    for (some, others) in [(of_rows, ids), (ids, of_rows)] {
        let sql = format!("select count(*) from ({some} except all {others}) missing");
        assert_eq!(backend.number(&sql).await, 0, "{some}");
    }
}
