//! Every table is known to hold persons or not to.

use std::collections::BTreeSet;

use mlops_service::store::Table;
use strum::VariantArray;

use crate::harness::{Backend, on_every_backend};

on_every_backend! {
    every_table_is_searched_for_persons_or_known_to_hold_none,
}

/// Tables that hold no person, and why.
const WITHOUT_PERSONS: [(&str, &str); 27] = [
    ("_sqlx_migrations", "names and checksums of migrations"),
    ("ai_latency_daily", "counts by day and business"),
    ("ai_metric_labels", "names of businesses, models, intents and response types"),
    ("ai_metric_series", "the same"),
    ("ai_rollup_daily", "sums by day, business, model, intent and response type"),
    ("ai_rollup_pending", "the same, of batches that are not merged yet; on Postgres alone"),
    ("ai_totals", "the same, over all time"),
    ("business_settings", "the same: how they want to be served"),
    ("businesses", "the app's own customers are companies"),
    ("mlops_api_keys", "names of programs and hashes of their keys"),
    ("mlops_businesses", "names, time zones, opening hours and budgets of companies"),
    ("mlops_conversation_daily", "sums by day and business"),
    ("mlops_cost_daily", "sums by day, business and model"),
    ("mlops_counted_events", "ids of events, which an erasure itself writes there"),
    ("mlops_event_ids", "ids of events and their months, where ai_metrics is partitioned; on Postgres alone"),
    ("mlops_fact_totals", "sums over all time by business, model and outcome"),
    ("mlops_first_latency_daily", "counts by day and business"),
    ("mlops_hourly", "sums by hour and business"),
    ("mlops_intent_daily", "sums by day, business and intent"),
    ("mlops_links", "businesses, months, hashes of secrets, and ids of keys"),
    ("mlops_outcome_daily", "counts by day, business and outcome"),
    ("mlops_rebuild", "how far the sums were built"),
    ("mlops_retention", "times of runs"),
    ("mlops_retention_deleted", "numbers of deleted rows"),
    ("mlops_sessions", "hashes of cookies, and ids of keys, which belong to programs and offices"),
    (
        "mlops_tombstones",
        "keyed hashes of erased conversations and sessions, which an erasure itself writes there",
    ),
    ("mlops_undigested", "numbers of rows of events"),
];

async fn every_table_is_searched_for_persons_or_known_to_hold_none(backend: Backend) {
    let backend = backend.with_app_tables().await;
    let names = match backend.is_postgres() {
        true => {
            "select cast(table_name as text) from information_schema.tables
             where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')"
        }
        false => {
            "select name from sqlite_schema where type = 'table' and name not like 'sqlite\\_%' escape '\\'"
        }
    };
    let live: BTreeSet<String> = backend.texts(names).await.into_iter().collect();
    let without: BTreeSet<String> = WITHOUT_PERSONS
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .filter(|name| {
            backend.is_postgres() || !["ai_rollup_pending", "mlops_event_ids"].contains(&name.as_str())
        })
        .collect();
    let with: BTreeSet<String> = Table::VARIANTS.iter().map(|table| table.name().to_owned()).collect();
    assert!(without.is_disjoint(&with));
    assert_eq!(
        live,
        &with | &without,
        "a new table is a `Table` if it may hold a person, else it is listed here"
    );
}
