//! What belongs to the receptionist app: deleted only when it is asked for. On Postgres, where its tables are.

use chrono::{DateTime, TimeDelta, Utc};
use mlops_service::store::Retained;

use super::{dry_run_at, rows, run_at};
use crate::harness::{Backend, real_now};

/// The app's tables.
const TABLES: &str = "
    create table businesses (id text primary key, name text);
    create table conversations (id text primary key, business_id text, customer_name text, customer_email text,
        customer_phone text, status text, created_at timestamptz, updated_at timestamptz);
    create table messages (id text primary key, conversation_id text references conversations on delete cascade,
        sender text, content text, message_type text, metadata jsonb, created_at timestamptz);
    create table chat_messages (id text primary key, conversation_id text, content text, created_at timestamptz);
    create table appointments (id text primary key, business_id text,
        conversation_id text references conversations on delete set null, customer_name text, customer_email text,
        customer_phone text, appointment_date date, appointment_time time, status text, notes text,
        created_at timestamptz)";

const CHATS: [(&str, &str); 1] = [("RETENTION_CHATS_DAYS", "30")];
const APPOINTMENTS: [(&str, &str); 1] = [("RETENTION_APPOINTMENTS_DAYS", "30")];

/// A time, as SQL.
fn days_ago(now: DateTime<Utc>, days: i64) -> String {
    format!("'{}'", (now - TimeDelta::days(days)).to_rfc3339())
}

async fn with_tables(tables: &str) -> Backend {
    let backend = Backend::postgres().await;
    backend.execute(tables).await;
    drop(backend.store(&[]).await);
    backend
}

/// The ids that are left in a table.
async fn left(backend: &Backend, table: &str) -> Vec<String> {
    use sqlx::Connection;
    let mut conn = sqlx::PgConnection::connect(&backend.url).await.unwrap();
    let sql = sqlx::AssertSqlSafe(format!("select id from {table} order by id"));
    sqlx::query_scalar(sql).fetch_all(&mut conn).await.unwrap()
}

/// Conversations by when they were made and touched, and messages in them.
async fn fill_chats(backend: &Backend, now: DateTime<Utc>) {
    let ago = |days| days_ago(now, days);
    let (old, young) = (ago(31), ago(29));
    backend
        .execute(&format!(
            "insert into conversations (id, customer_email, created_at, updated_at) values
                ('idle', 'a@example.com', {old}, {old}), ('touched', 'a@example.com', {old}, {young}),
                ('never-touched', 'a@example.com', {old}, null), ('answered', 'a@example.com', {old}, {old}),
                ('dateless', 'a@example.com', null, null), ('young', 'a@example.com', {young}, {young}),
                ('chatted', 'a@example.com', {old}, {old}), ('unknown', 'a@example.com', {old}, {old});
             insert into messages (id, conversation_id, created_at) values
                ('m-idle', 'idle', {old}), ('m-answered-old', 'answered', {old}),
                ('m-answered-young', 'answered', {young}), ('m-unknown', 'unknown', null);
             insert into chat_messages (id, conversation_id, created_at) values
                ('c-idle', 'idle', {old}), ('c-chatted', 'chatted', {young});
             insert into appointments (id, conversation_id, appointment_date, created_at)
                values ('of-idle', 'idle', current_date, {young})"
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_app_is_deleted_unasked() {
    let (backend, now) = (with_tables(TABLES).await, real_now());
    fill_chats(&backend, now).await;
    let tally = run_at(&backend, &[], now + TimeDelta::days(3_000)).await.unwrap();
    for kind in [Retained::Messages, Retained::ChatMessages, Retained::Conversations, Retained::Appointments]
    {
        assert_eq!(rows(&tally, kind), None);
    }
    assert_eq!(left(&backend, "messages").await.len(), 4);
    assert_eq!(left(&backend, "conversations").await.len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn chats_go_with_their_time_and_no_conversation_takes_a_younger_message_along() {
    let (backend, now) = (with_tables(TABLES).await, real_now());
    fill_chats(&backend, now).await;
    let dry = dry_run_at(&backend, &CHATS, now).await;
    assert_eq!(rows(&dry, Retained::Messages), Some(2));
    assert_eq!(left(&backend, "messages").await.len(), 4);
    let tally = run_at(&backend, &CHATS, now).await.unwrap();
    assert_eq!(rows(&tally, Retained::Messages), Some(2));
    assert_eq!(rows(&tally, Retained::ChatMessages), Some(1));
    assert_eq!(rows(&tally, Retained::Conversations), Some(2));
    assert_eq!(rows(&tally, Retained::Appointments), None);
    assert_eq!(left(&backend, "messages").await, ["m-answered-young", "m-unknown"]);
    assert_eq!(left(&backend, "chat_messages").await, ["c-chatted"]);
    let conversations = ["answered", "chatted", "dateless", "touched", "unknown", "young"];
    assert_eq!(left(&backend, "conversations").await, conversations);
    assert_eq!(left(&backend, "appointments").await, ["of-idle"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_appointment_goes_when_it_was_both_made_and_held_before() {
    let now = real_now();
    let cases = |backend: Backend| async move {
        let (old, young) = (days_ago(now, 40), days_ago(now, 20));
        let day = |days| format!("'{}'", (now - TimeDelta::days(days)).format("%Y-%m-%d"));
        backend
            .execute(&format!(
                "insert into appointments (id, appointment_date, created_at) values
                    ('past', {}, {old}), ('to-come', {}, {old}), ('noted-later', {}, {young}),
                    ('without-date', null, {old}), ('without-time', {}, null), ('nothing', null, null)",
                day(35),
                day(-5),
                day(35),
                day(35)
            ))
            .await;
        let tally = run_at(&backend, &APPOINTMENTS, now).await.unwrap();
        assert_eq!(rows(&tally, Retained::Appointments), Some(3));
        assert_eq!(left(&backend, "appointments").await, ["noted-later", "nothing", "to-come"]);
        backend
    };
    drop(cases(with_tables(TABLES).await).await);
    let as_text = TABLES.replace("appointment_date date", "appointment_date varchar(20)");
    let backend = cases(with_tables(&as_text).await).await;
    backend
        .execute(&format!(
            "insert into appointments (id, appointment_date, created_at) values ('odd', 'next week', {})",
            days_ago(now, 900)
        ))
        .await;
    assert_eq!(rows(&run_at(&backend, &APPOINTMENTS, now).await.unwrap(), Retained::Appointments), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_are_absent_or_poorer_stop_no_run() {
    let now = real_now();
    let all = [CHATS[0], APPOINTMENTS[0]];
    let tally = run_at(&with_tables("select 1").await, &all, now).await.unwrap();
    for kind in [Retained::Messages, Retained::Conversations, Retained::Appointments] {
        assert_eq!(rows(&tally, kind), None);
    }
    let poor = "create table conversations (id uuid primary key, created_at timestamp);
        create table messages (id text, conversation_id text, content text);
        create view chat_messages as select 1 as id, now() as created_at;
        create table appointments (id text, notes text, appointment_date int);
        insert into conversations values ('00000000-0000-0000-0000-000000000001', '2001-01-01'),
            ('00000000-0000-0000-0000-000000000002', '2001-01-01');
        insert into messages values ('m', '00000000-0000-0000-0000-000000000001', 'ageless')";
    let tally = run_at(&with_tables(poor).await, &all, now).await.unwrap();
    assert_eq!(rows(&tally, Retained::Messages), None, "nobody can tell how old they are");
    assert_eq!(rows(&tally, Retained::ChatMessages), None, "a view");
    assert_eq!(rows(&tally, Retained::Conversations), Some(1), "the one without such a message");
    assert_eq!(rows(&tally, Retained::Appointments), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_cannot_be_cleared_is_named_and_keeps_no_other() {
    let (backend, now) = (with_tables(TABLES).await, real_now());
    fill_chats(&backend, now).await;
    backend
        .execute(
            "create function keep() returns trigger language plpgsql as $$ begin raise 'no'; end $$;
             create trigger keep before delete on chat_messages for each row execute function keep()",
        )
        .await;
    let failure = run_at(&backend, &CHATS, now).await.unwrap_err().to_string();
    assert!(failure.starts_with("chat_messages: "), "{failure}");
    assert_eq!(left(&backend, "messages").await, ["m-answered-young", "m-unknown"]);
    assert_eq!(left(&backend, "chat_messages").await, ["c-chatted", "c-idle"]);
    assert_eq!(left(&backend, "conversations").await.len(), 6);
    backend.execute("drop trigger keep on chat_messages").await;
    assert_eq!(rows(&run_at(&backend, &CHATS, now).await.unwrap(), Retained::ChatMessages), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_the_app_dated_ahead_are_counted() {
    let (backend, now) = (with_tables(TABLES).await, real_now());
    fill_chats(&backend, now).await;
    let (old, ahead) = (days_ago(now, 31), days_ago(now, -2));
    backend
        .execute(&format!(
            "insert into conversations (id, created_at, updated_at) values
                ('ahead', {old}, {ahead}), ('endless', 'infinity', null), ('turned', 'infinity', {old});
             insert into messages (id, created_at) values ('ahead', {ahead}), ('endless', 'infinity');
             insert into chat_messages (id, created_at) values ('endless', 'infinity');
             insert into appointments (id, appointment_date, created_at) values
                ('to-come', current_date + 400, {old}), ('endless', 'infinity', {old}), ('ahead', current_date, {ahead})"
        ))
        .await;
    let tally = run_at(&backend, &[CHATS[0], APPOINTMENTS[0]], now).await.unwrap();
    let ahead = |kind| tally.iter().find(|done| done.kind == kind).unwrap().ahead;
    assert_eq!(ahead(Retained::Conversations), 2);
    assert_eq!((ahead(Retained::Messages), ahead(Retained::ChatMessages)), (2, 1));
    assert_eq!(ahead(Retained::Appointments), 2);
    assert!(left(&backend, "conversations").await.contains(&"endless".to_owned()));
}
