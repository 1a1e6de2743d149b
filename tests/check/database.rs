//! The database, and what is kept there.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use chrono::{DateTime, TimeDelta, Utc};
use mlops_service::audit::{Action, Actor};
use mlops_service::auth::key::{KeyId, NamedKey};
use mlops_service::event::Report;

use super::{Checks, assert_verdict, check};
use crate::harness::{Backend, KEY, Postgres, Tls, command, event, free_port, on_every_backend, real_now};

on_every_backend! {
    the_last_run_of_retention_is_looked_at,
    the_audit_trail_is_verified,
    an_emptied_trail_is_told_wherever_there_is_anything,
    a_trail_that_was_begun_anew_is_told,
    heads_that_were_kept_elsewhere_are_compared,
    named_keys_are_told_when_they_are_old_or_end_soon,
}

async fn the_last_run_of_retention_is_looked_at(backend: Backend) {
    let (now, store) = (real_now(), backend.store(&[]).await);
    let verdict = |settings: &[(&str, &str)], verdict: &str| {
        assert_verdict(&check(&backend, settings), "retention", verdict);
    };
    verdict(&[], "warning");
    verdict(&[("RETENTION_DAYS", "off")], "wrong");
    store.ensure_retention_record(now - TimeDelta::hours(20)).await.unwrap();
    verdict(&[], "ok");
    let waiting = (now - TimeDelta::hours(50)).to_rfc3339();
    backend.execute(&format!("update mlops_retention set waiting_since = '{waiting}'")).await;
    verdict(&[], "wrong");
    let entry = Actor::service().entry(Action::RetentionRun);
    for (hours, expected) in [(30, "wrong"), (25, "ok")] {
        store.finish_retention(now, Some(now - TimeDelta::hours(hours)), &entry).await.unwrap();
        verdict(&[], expected);
    }
    verdict(&[("RETENTION_DAYS", "off")], "wrong");
}

async fn the_audit_trail_is_verified(backend: Backend) {
    let store = backend.store(&[]).await;
    for _ in 0..3 {
        store.append_audit(real_now(), &Actor::service().entry(Action::KeyCreated)).await.unwrap();
    }
    assert_verdict(&check(&backend, &[]), "audit-chain", "ok");
    let change = match backend.is_postgres() {
        true => {
            "alter table mlops_audit disable trigger all; update mlops_audit set actor = 'somebody' where seq = 2"
        }
        false => "drop trigger mlops_audit_keep; update mlops_audit set actor = 'somebody' where seq = 2",
    };
    backend.execute(change).await;
    let checks = check(&backend, &[]);
    assert_verdict(&checks, "audit-chain", "wrong");
    assert!(checks["audit-chain"].1.contains("entry 2"), "{:?}", checks["audit-chain"]);
}

/// Empties the trail, as somebody who may do everything.
async fn empty_trail(backend: &Backend) {
    let empty = match backend.is_postgres() {
        true => {
            "alter table mlops_audit disable trigger user; truncate mlops_audit; alter table mlops_audit enable trigger user"
        }
        false => "drop trigger mlops_audit_keep_unpurged; delete from mlops_audit",
    };
    backend.execute(empty).await;
}

async fn an_emptied_trail_is_told_wherever_there_is_anything(backend: Backend) {
    let store = backend.store(&[]).await;
    assert_verdict(&check(&backend, &[]), "audit-chain", "ok");
    let (blob, now) = (if backend.is_postgres() { "'\\x01'" } else { "x'01'" }, real_now().to_rfc3339());
    let requested =
        "insert into mlops_privacy_requests (id, kind, selector, subject, source, received_at, due_at";
    for (table, insert) in [
        (
            "mlops_consents",
            format!(
                "insert into mlops_consents (id, subject, purpose, policy_version, granted, source, at)
                 values ('1', {blob}, 'p', '1', true, 's', '{now}')"
            ),
        ),
        (
            "mlops_privacy_requests",
            format!("{requested}) values ('1', 'erase', 'email', {blob}, 's', '{now}', '{now}')"),
        ),
        (
            "mlops_privacy_requests",
            format!(
                "{requested}, done_at, receipt_id) values ('2', 'erase', 'email', {blob}, 's', '{now}', '{now}', '{now}', 'r')"
            ),
        ),
        (
            "mlops_api_keys",
            format!(
                "insert into mlops_api_keys (id, name, secret_hash, scopes, created_at)
                 values ('0000000000000001', 'n', {blob}, 'track', '{now}')"
            ),
        ),
        (
            "mlops_retention",
            format!("insert into mlops_retention (id, waiting_since, done_at) values (1, '{now}', '{now}')"),
        ),
    ] {
        backend.execute(&insert).await;
        let checks = check(&backend, &[]);
        assert_verdict(&checks, "audit-chain", "wrong");
        assert!(checks["audit-chain"].1.contains("empty"), "{table}: {:?}", checks["audit-chain"]);
        backend.execute(&format!("delete from {table}")).await;
        assert_verdict(&check(&backend, &[]), "audit-chain", "ok");
    }
    let report = event(serde_json::json!({})).to_string();
    let sent = Report::parse(report.as_bytes()).unwrap().into_event(None, real_now()).unwrap();
    let written = store.write(&[sent], false, std::time::Duration::from_secs(9)).await.unwrap();
    store.merge_rollup(&written.counted).await.unwrap();
    assert_verdict(&check(&backend, &[]), "audit-chain", "wrong");
}

async fn a_trail_that_was_begun_anew_is_told(backend: Backend) {
    let store = backend.store(&[]).await;
    let entry = || Actor::service().entry(Action::KeyCreated);
    let key =
        NamedKey { id: KeyId(1), created_at: real_now() + TimeDelta::seconds(5), ..NamedKey::placeholder() };
    store.add_key(&key, real_now(), &entry().with("key", key.id.to_string())).await.unwrap();
    assert_verdict(&check(&backend, &[]), "audit-chain", "ok");
    empty_trail(&backend).await;
    store
        .append_audit(real_now() + TimeDelta::seconds(60), &Actor::service().entry(Action::ServiceStarted))
        .await
        .unwrap();
    let checks = check(&backend, &[]);
    assert_verdict(&checks, "audit-chain", "wrong");
    assert!(checks["audit-chain"].1.contains("begun anew"), "{:?}", checks["audit-chain"]);
    backend.execute("delete from mlops_api_keys").await;
    assert_verdict(&check(&backend, &[]), "audit-chain", "ok");
    store.ensure_retention_record(real_now() - TimeDelta::days(2)).await.unwrap();
    assert_verdict(&check(&backend, &[]), "audit-chain", "wrong");
}

async fn heads_that_were_kept_elsewhere_are_compared(backend: Backend) {
    let store = backend.store(&[]).await;
    let entry = Actor::service().entry(Action::ServiceStarted);
    let mut head = store.append_audit(real_now(), &entry).await.unwrap();
    head.seq += 5;
    let file = backend.folder.path().join("heads");
    let settings = [("AUDIT_HEAD_FILE", file.to_str().unwrap())];
    assert_verdict(&check(&backend, &settings), "audit-chain", "ok");
    std::fs::write(&file, format!("{head} 2026-11-27\n")).unwrap();
    let checks = check(&backend, &settings);
    assert_verdict(&checks, "audit-chain", "wrong");
    assert!(checks["audit-chain"].1.contains("cut off"), "{:?}", checks["audit-chain"]);
}

async fn named_keys_are_told_when_they_are_old_or_end_soon(backend: Backend) {
    let store = backend.store(&[]).await;
    assert_verdict(&check(&backend, &[]), "named-keys", "not_applicable");
    let in_days = |days| real_now() + TimeDelta::days(days);
    let add = async |id: u64, created_at: DateTime<Utc>, expires_at: Option<DateTime<Utc>>| {
        let key = NamedKey { id: KeyId(id), created_at, expires_at, ..NamedKey::placeholder() };
        store.add_key(&key, real_now(), &Actor::service().entry(Action::KeyCreated)).await.unwrap();
    };
    add(1, in_days(-80), None).await;
    add(2, in_days(-900), Some(in_days(-1))).await;
    assert_verdict(&check(&backend, &[]), "named-keys", "ok");
    add(3, in_days(-1), Some(in_days(3))).await;
    let checks = check(&backend, &[]);
    assert_verdict(&checks, "named-keys", "warning");
    assert!(checks["named-keys"].1.contains("expires within 14 days"), "{:?}", checks["named-keys"]);
    add(4, in_days(-100), None).await;
    assert!(check(&backend, &[])["named-keys"].1.contains("older than 92 days"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_of_sqlite_is_for_its_owner_and_has_no_roles() {
    let backend = Backend::sqlite();
    drop(backend.store(&[]).await);
    let checks = check(&backend, &[]);
    assert_verdict(&checks, "database", "ok");
    assert_verdict(&checks, "database-file", "ok");
    for name in ["database-tls", "database-role", "audit-append-only", "migration-role", "retention-chats"] {
        assert_verdict(&checks, name, "not_applicable");
    }
    let file = backend.folder.path().join("data/mlops.db");
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_verdict(&check(&backend, &[]), "database-file", "wrong");
}

/// The checks that need the database.
const DEPENDENT: [&str; 5] =
    ["audit-chain", "named-keys", "retention", "retention-chats", "retention-appointments"];

/// One finding tells that the database cannot be used; those that depend on it point there.
fn assert_one_finding_about_the_database(checks: &Checks, more: &[&str], others_wrong: &[&str]) {
    assert_verdict(checks, "database", "wrong");
    for name in DEPENDENT.iter().chain(more) {
        assert_verdict(checks, name, "not_applicable");
        assert!(checks[*name].1.contains("\"database\""), "{:?}", checks[*name]);
    }
    let wrong = checks.iter().filter(|(_, (verdict, _))| verdict == "wrong").map(|(name, _)| name.as_str());
    assert_eq!(wrong.collect::<Vec<_>>(), [&["database"], others_wrong].concat());
}

#[test]
fn in_a_fresh_folder_one_finding_tells_that_there_is_no_database() {
    let backend = Backend::sqlite();
    let checks = check(&backend, &[]);
    assert_one_finding_about_the_database(&checks, &["database-file"], &[]);
    assert!(checks["database"].1.contains("does not exist yet"), "{:?}", checks["database"]);
    assert!(!backend.folder.path().join("data").exists(), "to look makes no file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_tables_is_one_finding_too() {
    let backend = Backend::postgres().await;
    let checks = check(&backend, &[]);
    // The connection and the role are there to be looked at.
    assert_one_finding_about_the_database(&checks, &["audit-append-only"], &["database-role"]);
    assert_verdict(&checks, "database-tls", "warning");
    assert!(checks["database"].1.contains("mlops-service migrate"), "{:?}", checks["database"]);
    drop(backend.store(&[]).await);
    assert_verdict(&check(&backend, &[]), "database", "ok");
    backend.execute("insert into _sqlx_migrations select 9999, description, installed_on, success, checksum, execution_time
        from _sqlx_migrations limit 1").await;
    let newer = check(&backend, &[]);
    assert_verdict(&newer, "database", "wrong");
    assert!(newer["database"].1.contains("newer version"), "{:?}", newer["database"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_is_looked_at_from_the_server() {
    let server = Postgres::shared();
    let backend = Backend::on(server).await;
    drop(backend.store(&[]).await);
    let production = [("ENVIRONMENT", "production"), ("MLOPS_API_KEY", KEY)];
    let tls = |query: &str, settings: &[(&str, &str)]| {
        let url = format!("{}{query}", backend.url);
        let checks = check(&Backend { url, folder: backend.folder.clone() }, settings);
        checks["database-tls"].clone()
    };
    assert_eq!(tls("", &[]).0, "warning");
    assert_eq!(tls("", &production).0, "wrong");
    let root = server.root_certificate();
    let root = root.display();
    assert_eq!(tls(&format!("?sslmode=verify-ca&sslrootcert={root}"), &production).0, "warning");
    let (verdict, found) = tls(&format!("?sslmode=verify-full&sslrootcert={root}"), &production);
    assert_eq!(verdict, "ok");
    assert!(found.starts_with("TLSv1."), "{found}");
    let server = Postgres::start(Tls::Off);
    let plain = Backend::on(&server).await;
    let plain = Backend { url: format!("{}?sslmode=prefer", plain.url), ..plain };
    let (verdict, found) = check(&plain, &[])["database-tls"].clone();
    assert_eq!((verdict.as_str(), found.as_str()), ("warning", "not encrypted, on this machine"));
}

/// The checks of roles, as the role whose URL is given.
fn as_role(backend: &Backend, url: &str, settings: &[(&str, &str)]) -> Checks {
    check(&Backend { url: url.to_owned(), folder: backend.folder.clone() }, settings)
}

/// A migrated database with tables of the app, and the roles of `migrations/roles.sql`.
struct Roles {
    backend: Backend,
    suffix: String,
    owner: String,
    service: String,
}

impl Roles {
    async fn new() -> Self {
        let backend = Backend::postgres().await;
        backend
            .execute(
                "create table messages (id text primary key, content text, created_at timestamptz);
                 create table conversations (id text primary key, created_at timestamptz)",
            )
            .await;
        let suffix = backend.database().to_owned();
        let url = |role: &str| backend.url.replace("postgres@", &format!("{role}_{suffix}@"));
        let (owner, service) = (url("owner"), url("service"));
        let roles = Self { backend, suffix, owner, service };
        for _ in 0..2 {
            roles.apply();
            let migrated =
                command(&roles.backend, &[("MIGRATION_DATABASE_URL", &roles.owner)]).arg("migrate").output();
            let migrated = migrated.unwrap();
            assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        }
        roles.apply();
        roles
    }

    fn apply(&self) {
        let names = [format!("owner=owner_{}", self.suffix), format!("service=service_{}", self.suffix)];
        let output = Command::new(Postgres::psql())
            .args(["-X", "-q", "-d", &self.backend.url, "-v", &names[0], "-v", &names[1]])
            .args(["-f", "migrations/roles.sql"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn check_as(&self, url: &str) -> Checks {
        as_role(&self.backend, url, &[("MIGRATION_DATABASE_URL", &self.owner)])
    }

    /// The role of the service, after `change` was made by who may do everything and before `undo`. `SERVICE` in them is its name.
    async fn after(&self, change: &str, undo: &str) -> Checks {
        let named = |sql: &str| {
            sql.replace("SERVICE", &format!("service_{}", self.suffix)).replace("DATABASE_NAME", &self.suffix)
        };
        self.backend.execute(&named(change)).await;
        let checks = self.check_as(&self.service);
        self.backend.execute(&named(undo)).await;
        checks
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_role_may_do_is_looked_at() {
    let roles = Roles::new().await;
    let least = roles.check_as(&roles.service);
    for name in ["database-role", "audit-append-only", "migration-role"] {
        assert_verdict(&least, name, "ok");
    }
    let serving = Backend { url: roles.service.clone(), folder: roles.backend.folder.clone() };
    let settings = [("MIGRATION_DATABASE_URL", roles.owner.as_str()), ("RETENTION_CHATS_DAYS", "30")];
    let run = command(&serving, &settings).args(["retention", "run"]).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let as_owner = roles.check_as(&roles.owner);
    assert_verdict(&as_owner, "database-role", "wrong");
    assert_verdict(&as_owner, "audit-append-only", "wrong");
    assert_verdict(&as_owner, "migration-role", "warning");
    let as_superuser = check(&roles.backend, &[]);
    assert_verdict(&as_superuser, "database-role", "wrong");
    assert_eq!(as_superuser["database-role"].1, "it is a superuser", "the rest follows");
    assert_verdict(&as_superuser, "migration-role", "warning");
}

/// Ways in which a role gets power, and what the finding says.
const POWERS: [(&str, &str, &str); 17] = [
    ("alter role SERVICE createdb", "alter role SERVICE nocreatedb", "create databases"),
    ("alter role SERVICE createrole", "alter role SERVICE nocreaterole", "create roles"),
    ("alter role SERVICE bypassrls", "alter role SERVICE nobypassrls", "row-level security"),
    ("alter role SERVICE replication", "alter role SERVICE noreplication", "replicate"),
    ("grant postgres to SERVICE", "revoke postgres from SERVICE", "superuser through the role postgres"),
    // Rights that it would have to `set role` for.
    (
        "alter role SERVICE noinherit; grant postgres to SERVICE",
        "revoke postgres from SERVICE; alter role SERVICE inherit",
        "superuser through the role postgres",
    ),
    ("grant pg_read_all_data to SERVICE", "revoke pg_read_all_data from SERVICE", "pg_read_all_data"),
    ("grant pg_write_all_data to SERVICE", "revoke pg_write_all_data from SERVICE", "pg_write_all_data"),
    (
        "grant pg_execute_server_program to SERVICE",
        "revoke pg_execute_server_program from SERVICE",
        "pg_execute_server_program",
    ),
    (
        "grant create on schema public to SERVICE",
        "revoke create on schema public from SERVICE",
        "objects in the schema public",
    ),
    (
        "grant create on database DATABASE_NAME to SERVICE",
        "revoke create on database DATABASE_NAME from SERVICE",
        "schemas",
    ),
    (
        "alter table messages owner to SERVICE",
        "alter table messages owner to postgres",
        "drop and alter messages",
    ),
    (
        "create role in_DATABASE_NAME; alter table messages owner to in_DATABASE_NAME; grant in_DATABASE_NAME to SERVICE",
        "alter table messages owner to postgres; drop role in_DATABASE_NAME",
        "drop and alter messages",
    ),
    (
        "alter schema public owner to SERVICE",
        "alter schema public owner to pg_database_owner",
        "the schema public",
    ),
    (
        "grant truncate on conversations to SERVICE",
        "revoke truncate on conversations from SERVICE",
        "truncate conversations",
    ),
    ("grant truncate on messages to public", "revoke truncate on messages from public", "truncate messages"),
    (
        "grant trigger on messages to SERVICE",
        "revoke trigger on messages from SERVICE",
        "create triggers on messages",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_role_with_power_is_told_however_it_came_by_it() {
    let roles = Roles::new().await;
    for (change, undo, told) in POWERS {
        let checks = roles.after(change, undo).await;
        assert_verdict(&checks, "database-role", "wrong");
        assert!(checks["database-role"].1.contains(told), "{change}: {:?}", checks["database-role"]);
    }
    for (change, undo) in [
        ("grant update on messages to SERVICE", "revoke update on messages from SERVICE"),
        ("grant update (content) on messages to SERVICE", "revoke update (content) on messages from SERVICE"),
        ("grant update on conversations to SERVICE", "revoke update on conversations from SERVICE"),
        ("grant delete on mlops_api_keys to SERVICE", "revoke delete on mlops_api_keys from SERVICE"),
    ] {
        let checks = roles.after(change, undo).await;
        assert_verdict(&checks, "database-role", "warning");
    }
    roles.apply();
    assert_verdict(&roles.check_as(&roles.service), "database-role", "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_change_the_audit_trail_is_told() {
    let roles = Roles::new().await;
    let trigger = |name: &str, what: &str| format!("alter table mlops_audit {what} trigger {name}");
    let disabled = ["mlops_audit_keep", "mlops_audit_keep_unpurged", "mlops_audit_follow"]
        .map(|name| (trigger(name, "disable"), trigger(name, "enable"), name));
    let mut changes: Vec<(String, String, &str)> = disabled.into();
    changes.push((trigger("all", "disable"), trigger("all", "enable"), "mlops_audit_keep"));
    changes.push((
        trigger("mlops_audit_keep", "enable replica"),
        trigger("mlops_audit_keep", "enable"),
        "mlops_audit_keep",
    ));
    for (right, told) in [
        ("delete", "delete"),
        ("truncate", "truncate"),
        ("update", "update"),
        ("update (actor)", "update"),
        ("update (details, hash)", "update"),
    ] {
        let grant = format!("grant {right} on mlops_audit to SERVICE");
        changes.push((grant, format!("revoke {right} on mlops_audit from SERVICE"), told));
    }
    changes.push((
        "alter role SERVICE set session_replication_role = replica".to_owned(),
        "alter role SERVICE reset session_replication_role".to_owned(),
        "session_replication_role",
    ));
    for (change, undo, told) in changes {
        let checks = roles.after(&change, &undo).await;
        assert_verdict(&checks, "audit-append-only", "wrong");
        assert!(checks["audit-append-only"].1.contains(told), "{change}: {:?}", checks["audit-append-only"]);
    }
    assert_verdict(&roles.check_as(&roles.service), "audit-append-only", "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_said_that_nothing_of_the_app_is_deleted_unasked() {
    let backend = Backend::postgres().await;
    drop(backend.store(&[]).await);
    for name in ["retention-chats", "retention-appointments"] {
        assert_verdict(&check(&backend, &[]), name, "not_applicable");
    }
    let tables =
        "create table messages (id text, created_at timestamptz); create table appointments (id text)";
    backend.execute(tables).await;
    let checks = check(&backend, &[("RETENTION_CHATS_DAYS", "365")]);
    assert_verdict(&checks, "retention-chats", "ok");
    assert_verdict(&checks, "retention-appointments", "warning");
    let checks = check(&backend, &[("RETENTION_APPOINTMENTS_DAYS", "365")]);
    assert_verdict(&checks, "retention-chats", "warning");
    assert_verdict(&checks, "retention-appointments", "ok");
}

#[test]
fn without_the_database_the_other_lines_are_told() {
    let url = format!("postgresql://postgres:hunter2@127.0.0.1:{}/away", free_port());
    let backend = Backend { url, ..Backend::sqlite() };
    let checks = check(&backend, &[("CORS_ALLOWED_ORIGINS", "https://app.example.com")]);
    let more = ["database-tls", "database-role", "audit-append-only"];
    assert_one_finding_about_the_database(&checks, &more, &[]);
    assert_verdict(&checks, "cors", "ok");
    assert_verdict(&checks, "env-file-mode", "not_applicable");
}
