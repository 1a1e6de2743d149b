//! The table afterwards, and what is refused before.

use std::time::Duration;

use mlops_service::event::Report;
use serde_json::json;

use super::{assert_ids, begun, complete, done, insert, lab, refused};
use crate::harness::{Backend, Kind, Pooler, TestApp, event, insert_as_the_app, real_now};

/// What other programs see of the table, but for the indexes, which are not unique any more.
const SHAPE: [&str; 5] = [
    "select concat_ws(' ', attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid), attacl)
     from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum
     where attrelid = 'ai_metrics'::regclass and attnum > 0 and not attisdropped order by attnum",
    "select concat_ws(' ', conname, pg_get_constraintdef(oid)) from pg_constraint
     where conrelid = 'ai_metrics'::regclass and contype in ('c', 'f') order by 1",
    "select concat_ws(' ', relowner::regrole, relacl, obj_description(oid)) from pg_class where oid = 'ai_metrics'::regclass",
    "select pg_get_serial_sequence('ai_metrics', 'id')",
    "select concat(c.relname, substring(pg_get_indexdef(indexrelid) from ' USING .*')) from pg_index
     join pg_class c on c.oid = indexrelid where indrelid = 'ai_metrics'::regclass and c.relname <> 'ai_metrics_business_event'
     order by 1",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_table_is_what_it_was_to_other_programs() {
    let backend = lab().await;
    backend
        .execute(
            "create table businesses (id text primary key); insert into businesses values ('acme'), ('b-0'), ('b-1'), ('b-2');
             alter table ai_metrics add foreign key (business_id) references businesses (id), add check (tokens_used >= 0),
                alter column model_name set default 'unknown';
             comment on table ai_metrics is 'Events'; comment on column ai_metrics.intent_detected is 'What it is about';
             create role partition_reader; grant select on ai_metrics to partition_reader;
             grant update (intent_detected) on ai_metrics to partition_reader",
        )
        .await;
    insert(&backend, 50, "now() - n * interval '10 days'").await;
    let mut before = Vec::new();
    for shape in SHAPE {
        before.push(backend.texts(shape).await);
    }
    let last = backend.number("select max(id) from ai_metrics").await;
    let told = done(&backend, &["--yes"]);
    assert!(told.contains("50 rows were copied"), "{told}");
    for (shape, before) in SHAPE.iter().zip(before) {
        assert_eq!(backend.texts(shape).await, before, "{shape}");
    }
    assert_eq!(backend.number("select count(*) from pg_class where relname like 'mlops_new_%'").await, 0);
    insert_as_the_app(&backend, "s-app", 0).await;
    assert_eq!(backend.number("select max(id) from ai_metrics").await, last + 1);
    assert_ids(&backend).await;
    let unknown = backend.try_execute("update ai_metrics set business_id = 'nobody'").await.unwrap_err();
    assert_eq!(unknown.as_database_error().unwrap().constraint(), Some("ai_metrics_business_id_fkey"));
    backend.execute("drop table ai_metrics; drop role partition_reader").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_consent_it_only_tells_what_it_would_do() {
    let backend = lab().await;
    insert(&backend, 10, "now()").await;
    backend.execute("analyze ai_metrics").await;
    let told = done(&backend, &[]);
    assert!(told.contains("about 10 rows") && told.contains("Nothing was done"), "{told}");
    let tables = "select count(*) from pg_class where relname like 'ai_metrics_by_%' or relkind = 'p'";
    assert_eq!(backend.number(tables).await, 0);
    assert!(done(&backend, &["--cancel"]).contains("nothing to give up"));
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_in_the_way_is_told_together() {
    let backend = lab().await;
    backend
        .execute(
            "create view report as select count(*) from ai_metrics;
             create table notes (metric integer references ai_metrics (id));
             alter table ai_metrics enable row level security;
             create publication changes for table ai_metrics;
             create function nothing() returns trigger language plpgsql as 'begin return null; end';
             create trigger of_the_app after insert on ai_metrics execute function nothing();
             create unique index only_once on ai_metrics (session_id, created_at);
             alter table ai_metrics add constraint later check (tokens_used > 0) not valid;
             create table ai_metrics_2026_01 (id integer)",
        )
        .await;
    let told = refused(&backend, &["--yes"]);
    for reason in [
        "report reads ai_metrics",
        "the foreign key notes_metric_fkey of notes",
        "row security is on",
        "the publication changes",
        "the trigger of_the_app",
        "the index only_once is unique",
        "the constraint later is not validated",
        "the table ai_metrics_2026_01 has the name of a partition",
    ] {
        assert!(told.contains(reason), "{reason} in {told}");
    }
    assert_eq!(told.matches("\n  - ").count(), 8, "{told}");
    let reasons = |told: &str| told.split_once("first, please").unwrap().1.to_owned();
    assert_eq!(reasons(&refused(&backend, &[])), reasons(&told), "without --yes it tells the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_is_told_which_role_may() {
    let backend = lab().await;
    backend.execute("create role partition_stranger login").await;
    let stranger = backend.url.replace("postgres@", "partition_stranger@");
    backend.execute("grant select on _sqlx_migrations to partition_stranger").await;
    let told = refused(&Backend { url: stranger, folder: backend.folder.clone() }, &[]);
    let expected =
        "the role partition_stranger neither owns ai_metrics nor is a member of postgres, which does";
    assert!(told.contains(expected) && told.contains("MIGRATION_DATABASE_URL"), "{told}");
    backend.execute("drop owned by partition_stranger; drop role partition_stranger").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_and_poolers_are_refused() {
    let sqlite = Backend::sqlite();
    drop(sqlite.store(&[]).await);
    assert!(refused(&sqlite, &["--yes"]).contains("SQLite has no partitions"));
    let backend = lab().await;
    let pooler = Pooler::start(&backend, 6, Kind::Tracking).await;
    let told = refused(&pooler.view(&backend), &["--yes"]);
    assert!(told.contains("MIGRATION_DATABASE_URL to the direct host"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_writers_with_one_id_count_it_once() {
    let backend = Backend::partitioned().await;
    let (one, other) = (backend.store(&[]).await, backend.store(&[]).await);
    let made = |n: usize| {
        let id = format!("00000000-0000-4000-9000-{n:012}");
        let report = event(json!({"event_id": id, "session_id": "s"})).to_string();
        Report::parse(report.as_bytes()).unwrap().into_event(None, real_now()).unwrap()
    };
    for n in 0..40 {
        let batch = [made(n), made(n + 100)];
        let write = async |store: &mlops_service::store::Store| {
            loop {
                match store.write(&batch, false, Duration::from_secs(5)).await {
                    Err(mlops_service::store::StoreError::Conflict(_)) => {}
                    written => break written.unwrap(),
                }
            }
        };
        tokio::join!(write(&one), write(&other));
    }
    assert_eq!(backend.rows().await, 80);
    assert_eq!(backend.number("select sum(events) from ai_totals_now").await, 80);
    assert_ids(&backend).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_altered_meanwhile_is_not_switched() {
    let backend = lab().await;
    insert(&backend, 10, "now()").await;
    let mut partitioning = begun(&backend).await;
    backend.execute("alter table ai_metrics add column remark text").await;
    insert(&backend, 10, "now()").await;
    let told = partitioning.verify().await.unwrap_err().to_string();
    assert!(told.contains("altered") && told.contains("--cancel"), "{told}");
    drop(partitioning);
    assert!(done(&backend, &["--cancel"]).contains("as it was"));
    assert_eq!(backend.rows().await, 20);
    complete(begun(&backend).await).await;
    assert_eq!(backend.number("select count(*) from ai_metrics where remark is null").await, 20);
    assert_ids(&backend).await;
}

/// The statements that docs/scaling.md gives for the way back.
fn way_back() -> String {
    let page = std::fs::read_to_string("docs/scaling.md").unwrap();
    let (_, sql) = page.split_once("```sql\n").unwrap();
    sql.split_once("```").unwrap().0.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_back_leads_to_a_table_on_which_the_service_works() {
    let backend = lab().await;
    insert(&backend, 20, "now() - n * interval '20 days'").await;
    let last = backend.number("select max(id) from ai_metrics").await;
    done(&backend, &["--yes"]);
    backend.execute(&way_back()).await;
    assert_eq!(backend.number("select count(*) from pg_inherits").await, 0);
    let app = TestApp::open(&backend).await;
    let named = event(json!({"event_id": "00000000-0000-4000-9000-000000000001"}));
    for stored in [true, false] {
        let reply = app.track(&named).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.json()["duplicate"].as_bool().unwrap_or(false), !stored, "{}", reply.text());
    }
    assert_eq!(backend.rows().await, 21);
    assert_eq!(backend.number("select max(id) from ai_metrics").await, last + 1);
    // There is nothing left that a second turnover would stumble over.
    done(&backend, &["--yes"]);
    assert_ids(&backend).await;
}
