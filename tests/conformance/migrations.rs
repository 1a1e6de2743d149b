//! Migrations: the same on both databases, gentle with what is there, and safe when replicas start together.

use std::collections::BTreeSet;

use mlops_service::store::Store;
use serde_json::json;

use crate::harness::{Backend, LAB_TABLE, TestApp, event, insert_as_the_app, on_every_backend};

on_every_backend! {
    migrating_twice_changes_nothing,
    ids_of_an_earlier_version_keep_their_meaning,
    indexes_by_day_are_added_to_an_earlier_version,
    series_that_an_earlier_version_showed_stay_shown,
}

async fn migrating_twice_changes_nothing(backend: Backend) {
    let store = backend.store(&[]).await;
    insert_as_the_app(&backend, "s-1", 0).await;
    store.migrate().await.unwrap();
    assert_eq!(backend.rows().await, 1);
}

#[test]
fn both_databases_have_the_same_migrations() {
    let names = |kind: &str| {
        let folder = std::fs::read_dir(format!("migrations/{kind}")).unwrap();
        folder.map(|entry| entry.unwrap().file_name()).collect::<BTreeSet<_>>()
    };
    assert_eq!(names("postgres"), names("sqlite"));
}

/// All columns that the labs' table has, of every row, as one text.
const LAB_ROWS: &str =
    "select hashtextextended(string_agg(concat_ws('|', id, business_id, conversation_id, session_id,
    response_time_ms, success_rate, tokens_used, prompt_tokens, completion_tokens, api_cost_usd, model_name,
    intent_detected, appointment_requested, human_handoff_requested, appointment_booked, user_message_length,
    ai_response_length, response_type, created_at), ';' order by id), 0) from ai_metrics";

async fn lab_database() -> Backend {
    let backend = Backend::postgres().await;
    backend.execute(LAB_TABLE).await;
    for (session, minutes) in [("s-1", 0), ("s-2", 60), ("s-3", 60 * 24 * 3), ("s-4", 60 * 24 * 40)] {
        insert_as_the_app(&backend, session, minutes).await;
    }
    backend
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_the_labs_are_kept_and_counted() {
    let backend = lab_database().await;
    let before = backend.number(LAB_ROWS).await;
    let types = "select count(*) from information_schema.columns where table_name = 'ai_metrics'
                 and column_name in ('api_cost_usd', 'success_rate') and data_type || coalesce(numeric_precision, 0) || ',' || coalesce(numeric_scale, 0)
                     in ('numeric10,6', 'numeric5,4')";
    let app = TestApp::open(&backend).await;
    assert_eq!(backend.number(LAB_ROWS).await, before);
    assert_eq!(backend.number(types).await, 2);
    let series = r#"ai_requests_total{business_id="acme",response_type="booking",intent="appointment"}"#;
    assert_eq!(app.metric(series).await, Some(4.0));
    let analytics = app.get("/analytics/acme").send().await.ok();
    assert_eq!(analytics["metrics"]["total_conversations"], 3, "one is older than 30 days");
    assert_eq!(app.get("/analytics/acme?days=60").send().await.ok()["metrics"]["total_conversations"], 4);
    let again = TestApp::open(&backend).await;
    assert_eq!(again.metric(series).await, Some(4.0), "a second start counts nothing twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_the_app_are_left_alone() {
    let backend = lab_database().await;
    backend.execute("create table api_keys (id serial primary key, customer text)").await;
    backend.execute("insert into api_keys (customer) values ('acme')").await;
    let store = backend.store(&[]).await;
    assert!(store.keys().await.unwrap().is_empty());
    assert_eq!(backend.number("select count(*) from api_keys").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_start_together_take_turns() {
    let backend = lab_database().await;
    let stores: Vec<Store> = (0..4).map(|_| Store::open(&backend.config(&[])).unwrap()).collect();
    let migrations = stores.iter().map(Store::migrate);
    for migrated in futures_util::future::join_all(migrations).await {
        migrated.unwrap();
    }
    let now = crate::harness::real_now();
    for counted in
        futures_util::future::join_all(stores.iter().map(|store| store.count_foreign_rows(now))).await
    {
        counted.unwrap();
    }
    assert_eq!(backend.number("select sum(events) from ai_totals_now").await, 4);
}

/// Makes the tables those of the version before ids named events within their business.
async fn before_ids_had_a_business(backend: &Backend) {
    let counted = if backend.is_postgres() {
        "alter table mlops_counted_events drop constraint mlops_counted_events_pkey;
         alter table mlops_counted_events drop column business_id;
         alter table mlops_counted_events add primary key (event_id);"
    } else {
        "drop table mlops_counted_events;
         create table mlops_counted_events (event_id blob primary key, at text not null) without rowid;
         create index mlops_counted_events_at on mlops_counted_events (at);"
    };
    let rest = "drop index ai_metrics_business_event;
         create unique index ai_metrics_event_id on ai_metrics (event_id);
         delete from _sqlx_migrations where version = 11;";
    for statement in [counted, rest].concat().split_terminator(';') {
        backend.execute(statement).await;
    }
}

async fn ids_of_an_earlier_version_keep_their_meaning(backend: Backend) {
    drop(backend.store(&[]).await);
    before_ids_had_a_business(&backend).await;
    let (stored, counted) = ("8e03978e-40d5-43dd-bc93-000000000001", "8e03978e-40d5-43dd-bc93-000000000002");
    let blob = |id: &str| match backend.is_postgres() {
        true => format!("'{id}'"),
        false => format!("x'{}'", id.replace('-', "")),
    };
    insert_as_the_app(&backend, "s-1", 60).await;
    backend.execute(&format!("update ai_metrics set event_id = {}", blob(stored))).await;
    let now = "'2026-01-01 00:00:00+00'";
    let record = format!("insert into mlops_counted_events (event_id, at) values ({}, {now})", blob(counted));
    backend.execute(&record).await;
    if backend.is_postgres() {
        // An interrupted build of the index.
        backend
            .execute("create unique index ai_metrics_business_event on ai_metrics (business_id, event_id)")
            .await;
        let broken = "update pg_index set indisvalid = false
                      where indexrelid = to_regclass('ai_metrics_business_event')";
        backend.execute(broken).await;
    }
    let app = TestApp::open(&backend).await;
    if backend.is_postgres() {
        let valid = "select count(*) from pg_index
                     where indexrelid = to_regclass('ai_metrics_business_event') and indisvalid";
        assert_eq!(backend.number(valid).await, 1);
    }
    let track = async |business: &str, id: &str| {
        let event = event(json!({"business_id": business, "event_id": id, "session_id": "another"}));
        app.track(&event).await.ok()["duplicate"] == true
    };
    assert!(track("acme", stored).await, "what was stored is known");
    assert!(!track("bolt", stored).await, "to its business alone");
    assert!(track("acme", counted).await && track("bolt", counted).await, "whose it was is not known");
}

async fn indexes_by_day_are_added_to_an_earlier_version(backend: Backend) {
    drop(backend.store(&[]).await);
    for statement in [
        "insert into ai_rollup_daily values ('2026-11-01', 'acme', 'm', 'i', 't', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)",
        "insert into mlops_cost_daily values ('acme', '2026-11-01', 'm', 1, 0, 1, 4, 1, 4, 0, 0, 0, 0)",
        "drop index ai_rollup_daily_day",
        "drop index mlops_cost_daily_day",
        "delete from _sqlx_migrations where version = 19",
    ] {
        backend.execute(statement).await;
    }
    if backend.is_postgres() {
        // An interrupted build of the index.
        backend.execute("create index ai_rollup_daily_day on ai_rollup_daily (business_id)").await;
        let broken =
            "update pg_index set indisvalid = false where indexrelid = to_regclass('ai_rollup_daily_day')";
        backend.execute(broken).await;
    }
    drop(backend.store(&[]).await);
    let built = match backend.is_postgres() {
        true => {
            "select count(*) from pg_index i where indisvalid and pg_get_indexdef(indexrelid) like '%(day)'
             and indexrelid in (to_regclass('ai_rollup_daily_day'), to_regclass('mlops_cost_daily_day'))"
        }
        false => {
            "select count(*) from sqlite_master where name in ('ai_rollup_daily_day', 'mlops_cost_daily_day')"
        }
    };
    assert_eq!(backend.number(built).await, 2);
}

async fn series_that_an_earlier_version_showed_stay_shown(backend: Backend) {
    drop(backend.store(&[]).await);
    backend.execute("drop table ai_metric_series").await;
    backend.execute("delete from _sqlx_migrations where version = 10").await;
    let text = if backend.is_postgres() { "cast(n as text)" } else { "n" };
    for (label, value) in [("business_id", "'acme'"), ("model_name", "'m'"), ("response_type", "'t'")] {
        let add = format!("insert into ai_metric_labels (label, value) values ('{label}', {value})");
        backend.execute(&add).await;
    }
    let numbers = "with recursive many(n) as (select 1 union all select n + 1 from many where n < 300)";
    let labels = format!(
        "{numbers} insert into ai_metric_labels (label, value) select 'intent', 'i' || {text} from many"
    );
    let totals = format!(
        "{numbers} insert into ai_totals (business_id, model_name, intent_detected, response_type, events,
            response_time_ms, within_100ms, within_500ms, within_1s, within_2s, within_5s, within_10s, success_e4,
            tokens, prompt_tokens, completion_tokens, cost_micros, appointments_requested, appointments_booked, handoffs)
         select 'acme', 'm', 'i' || {text}, 't', 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1 from many"
    );
    backend.execute(&labels).await;
    backend.execute(&totals).await;
    let app = TestApp::open(&backend).await;
    let page = app.metrics().await;
    let shown = page.lines().filter(|line| line.starts_with("ai_requests_total{")).count();
    assert_eq!(shown, 300, "more than a business may show today");
    assert_eq!(app.track(&event(json!({"business_id": "acme", "intent_detected": "new"}))).await.status, 200);
    assert!(!app.metrics().await.contains(r#"intent="new""#), "and no more");
}
