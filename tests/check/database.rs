//! The database, and what is kept there.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use chrono::{DateTime, TimeDelta, Utc};
use mlops_service::audit::{Action, Actor};
use mlops_service::auth::key::{KeyId, NamedKey};

use super::{Checks, assert_verdict, check};
use crate::harness::{Backend, KEY, Postgres, Tls, command, free_port, on_every_backend, real_now};

on_every_backend! {
    the_last_run_of_retention_is_looked_at,
    the_audit_trail_is_verified,
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
    let checks = check(&backend, &[]);
    assert_verdict(&checks, "audit-chain", "wrong");
    assert!(!backend.folder.path().join("data").exists(), "to look makes no file");
    drop(backend.store(&[]).await);
    let checks = check(&backend, &[]);
    assert_verdict(&checks, "database-file", "ok");
    for name in ["database-tls", "database-role", "audit-append-only", "migration-role", "retention-chats"] {
        assert_verdict(&checks, name, "not_applicable");
    }
    let file = backend.folder.path().join("data/mlops.db");
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_verdict(&check(&backend, &[]), "database-file", "wrong");
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

#[tokio::test(flavor = "multi_thread")]
async fn what_the_role_may_do_is_looked_at() {
    let backend = Backend::postgres().await;
    let suffix = backend.url.rsplit('/').next().unwrap().to_owned();
    let url = |role: &str| backend.url.replace("postgres@", &format!("{role}_{suffix}@"));
    let (owner, service) = (url("owner"), url("service"));
    for _ in 0..2 {
        let names = [format!("owner=owner_{suffix}"), format!("service=service_{suffix}")];
        let output = Command::new(Postgres::psql())
            .args(["-X", "-q", "-d", &backend.url, "-v", &names[0], "-v", &names[1]])
            .args(["-f", "migrations/roles.sql"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let migrated =
            command(&backend, &[("MIGRATION_DATABASE_URL", &owner)]).arg("migrate").output().unwrap();
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    }
    let least = as_role(&backend, &service, &[("MIGRATION_DATABASE_URL", &owner)]);
    for name in ["database-role", "audit-append-only", "migration-role"] {
        assert_verdict(&least, name, "ok");
    }
    let serving = Backend { url: service.clone(), folder: backend.folder.clone() };
    let settings = [("MIGRATION_DATABASE_URL", owner.as_str()), ("RETENTION_CHATS_DAYS", "30")];
    let run = command(&serving, &settings).args(["retention", "run"]).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let as_owner = as_role(&backend, &owner, &[("MIGRATION_DATABASE_URL", &owner)]);
    assert_verdict(&as_owner, "database-role", "wrong");
    assert_verdict(&as_owner, "audit-append-only", "wrong");
    assert_verdict(&as_owner, "migration-role", "warning");
    let as_superuser = check(&backend, &[]);
    assert_verdict(&as_superuser, "database-role", "wrong");
    assert_verdict(&as_superuser, "migration-role", "warning");
    backend.execute(&format!("grant delete on mlops_audit to service_{suffix}")).await;
    let checks = as_role(&backend, &service, &[]);
    assert_verdict(&checks, "audit-append-only", "wrong");
    assert_verdict(&checks, "database-role", "ok");
    backend.execute(&format!("grant create on schema public to service_{suffix}")).await;
    assert_verdict(&as_role(&backend, &service, &[]), "database-role", "wrong");
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
    for name in
        ["database-tls", "database-role", "audit-append-only", "audit-chain", "named-keys", "retention"]
    {
        assert_verdict(&checks, name, "wrong");
        assert!(checks[name].1.contains("could not be checked"), "{:?}", checks[name]);
    }
    assert_verdict(&checks, "cors", "ok");
    assert_verdict(&checks, "env-file-mode", "not_applicable");
}
