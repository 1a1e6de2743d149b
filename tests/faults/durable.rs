//! The durability of commits.

use serde_json::json;

use crate::harness::{Backend, TestApp, event, on_every_backend};

on_every_backend! {
    a_commit_is_on_disk_whatever_the_database_does_by_default,
}

/// Makes asynchronous commits the default of the database, and records the setting with which each event is written.
const LAZY_POSTGRES: &str = "
    do $$ begin execute format('alter database %I set synchronous_commit = off', current_database()); end $$;
    create table seen (setting text);
    create function look() returns trigger language plpgsql as
        $$ begin insert into seen values (current_setting('synchronous_commit')); return new; end $$;
    create trigger look before insert on ai_metrics for each row execute function look();";

const WATCHED_SQLITE: &str = "
    create table seen (setting integer);
    create trigger look after insert on ai_metrics begin
        insert into seen select synchronous from pragma_synchronous;
    end;";

async fn a_commit_is_on_disk_whatever_the_database_does_by_default(backend: Backend) {
    drop(backend.store(&[]).await);
    backend.execute(if backend.is_postgres() { LAZY_POSTGRES } else { WATCHED_SQLITE }).await;
    let app = TestApp::open(&backend).await;
    app.track(&event(json!({}))).await.ok();
    let (by_default, kept) = match backend.is_postgres() {
        true => ("current_setting('synchronous_commit') = 'off'", "setting = 'on'"),
        // 2 is FULL.
        false => ("(select journal_mode from pragma_journal_mode) = 'wal'", "setting = 2"),
    };
    assert_eq!(backend.number(&format!("select count(*) from seen where {kept}")).await, 1);
    assert_eq!(backend.number(&format!("case when {by_default} then 1 else 0 end")).await, 1);
}
