//! The database: how it is reached, what the service may do there, whether the audit trail is whole, whether retention runs.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::finding::{Check, Finding};
use crate::config::{Config, Database, Environment, PostgresUrl, Tls};
use crate::retention::Policy;
use crate::store::{Encryption, Privileges, Retained, Store, StoreError};

/// How long the audit trail is verified.
const VERIFY_PATIENCE: Duration = Duration::from_mins(1);

/// How old the last run of retention may be: one a day, and the time it takes.
const RUN_AGE: TimeDelta = TimeDelta::hours(26);

const TLS: Check = Check::new("database-tls", "our connection, as the server sees it, and sslmode");
const ROLE: Check = Check::new("database-role", "what the role of DATABASE_URL may do");
const TRAIL: Check = Check::new("audit-append-only", "what that role may do to mlops_audit");
const CHAIN: Check = Check::new("audit-chain", "every entry of the audit trail");
const MIGRATIONS: Check = Check::new("migration-role", "MIGRATION_DATABASE_URL");
const RETENTION: Check = Check::new("retention", "RETENTION_DAYS, and the last run");

/// The finding of a check that needs the database, which is away.
pub(super) fn away(check: Check, error: &str) -> Finding {
    check.wrong(
        format!("it could not be looked at: {error}"),
        "see to it that the database can be reached, run mlops-service migrate, and check again",
    )
}

/// Asks the store, if it is there.
async fn ask<T>(
    store: Result<&Store, &String>,
    question: impl AsyncFnOnce(&Store) -> Result<T, StoreError>,
) -> Result<T, String> {
    match store {
        Ok(store) => question(store).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.clone()),
    }
}

/// The checks of the database itself.
pub(super) async fn look(config: &Config, store: Result<&Store, &String>) -> Vec<Finding> {
    let Database::Postgres(postgres) = &config.database_url else {
        let file = "the database is a file on this machine";
        let mut findings: Vec<Finding> =
            [TLS, ROLE, TRAIL, MIGRATIONS].map(|check| check.not_applicable(file)).into();
        findings.push(file_mode(config));
        findings.push(chain(store).await);
        return findings;
    };
    let encryption = ask(store, async |store| store.encryption().await).await;
    let privileges = ask(store, async |store| store.privileges().await).await;
    vec![
        encryption.map_or_else(|error| away(TLS, &error), |found| tls(config, postgres, found)),
        privileges.as_ref().map_or_else(|error| away(ROLE, error), |found| role(found.as_ref())),
        privileges.as_ref().map_or_else(|error| away(TRAIL, error), |found| trail(found.as_ref())),
        migrations(config),
        chain(store).await,
    ]
}

fn tls(config: &Config, postgres: &PostgresUrl, found: Option<Encryption>) -> Finding {
    let mend = "sslmode=verify-full with sslrootcert in DATABASE_URL";
    let production = config.environment == Environment::Production;
    let is_here =
        ["localhost:", "127.0.0.1:", "[::1]:", "::1:"].iter().any(|here| postgres.place.starts_with(here));
    let Some(Encryption { ssl: true, version }) = found else {
        let place = if is_here { "on this machine" } else { "over the network" };
        return TLS.wrong_if(production || !is_here, format!("not encrypted, {place}"), mend);
    };
    let version = version.unwrap_or_else(|| "TLS".to_owned());
    match postgres.tls {
        Tls::VerifyFull => TLS.ok(format!("{version}, the server's certificate and name are verified")),
        Tls::VerifyCa => TLS.warning(
            format!("{version}, the certificate's authority is verified, the server's name is not"),
            mend,
        ),
        Tls::Require | Tls::Optional(_) => {
            TLS.wrong_if(production, format!("{version}, but nobody checks who the server is"), mend)
        }
    }
}

fn role(found: Option<&Privileges>) -> Finding {
    let Some(privileges) = found else { return ROLE.not_applicable("there are no roles") };
    let may: Vec<String> = [
        privileges.above_others.then(|| "it is a superuser, or may make databases or roles".to_owned()),
        privileges.creates.then(|| "it may create tables".to_owned()),
        (!privileges.owns.is_empty())
            .then(|| format!("it may drop and alter {}", privileges.owns.join(", "))),
        (privileges.owns.is_empty() && !privileges.truncates.is_empty())
            .then(|| format!("it may truncate {}", privileges.truncates.join(", "))),
    ]
    .into_iter()
    .flatten()
    .collect();
    match may.is_empty() {
        true => ROLE.ok("it can drop, alter and create nothing"),
        false => ROLE.wrong(
            may.join("; "),
            "run migrations/roles.sql, put the owner's role into MIGRATION_DATABASE_URL and the service's into DATABASE_URL",
        ),
    }
}

fn trail(found: Option<&Privileges>) -> Finding {
    match found {
        None => TRAIL.not_applicable("there are no roles"),
        Some(Privileges { has_audit: false, .. }) => {
            TRAIL.wrong("there is no audit trail yet", "run mlops-service migrate")
        }
        Some(privileges) if privileges.on_audit.is_empty() => TRAIL.ok("it may add and read"),
        Some(privileges) => TRAIL.wrong(
            format!("it may {}", privileges.on_audit.join(", ")),
            "run migrations/roles.sql and connect as the service's role",
        ),
    }
}

fn migrations(config: &Config) -> Finding {
    let mend =
        "run migrations/roles.sql and set it to the owner's role, which only mlops-service migrate needs";
    match (&config.migration_database_url, &config.database_url) {
        (None, _) => MIGRATIONS.warning("not set: the service migrates as the role that serves", mend),
        (Some(owner), Database::Postgres(service)) if owner.user() == service.user() => {
            MIGRATIONS.warning("it has the same role as DATABASE_URL", mend)
        }
        (Some(_), _) => MIGRATIONS.ok("it has a role of its own"),
    }
}

async fn chain(store: Result<&Store, &String>) -> Finding {
    let found = ask(store, async |store| store.verify_audit(None, VERIFY_PATIENCE).await).await;
    let mend = "find out who changed it: mlops-service audit verify, and docs/audit.md";
    match found {
        Err(error) => away(CHAIN, &error),
        Ok(found) => match (found.broken, found.complete) {
            (Some(broken), _) => CHAIN.wrong(broken.to_string(), mend),
            (None, true) => CHAIN.ok(format!("{} entries, each follows the one before it", found.entries)),
            (None, false) => CHAIN.warning(
                format!("the first {} entries are sound; there was no time for the others", found.entries),
                "mlops-service audit verify",
            ),
        },
    }
}

#[cfg(unix)]
fn file_mode(config: &Config) -> Finding {
    use std::os::unix::fs::PermissionsExt;
    let check = Check::new("database-file", "who may read the database's file");
    let Database::Sqlite(path) = &config.database_url else { return check.not_applicable("it is no file") };
    match path.metadata().map(|file| file.permissions().mode() & 0o777) {
        Err(error) => away(check, &error.to_string()),
        Ok(mode) if super::files::is_owners_alone(mode) => {
            check.ok(format!("its owner alone (mode {mode:03o})"))
        }
        Ok(mode) => {
            check.wrong(format!("others too (mode {mode:03o})"), format!("chmod 600 {}*", path.display()))
        }
    }
}

#[cfg(not(unix))]
fn file_mode(_: &Config) -> Finding {
    Check::new("database-file", "who may read the database's file")
        .not_applicable("this system has no such modes; see to the file's access rights")
}

/// Whether old events are deleted.
pub(super) async fn retention(store: Result<&Store, &String>, policy: Policy, now: DateTime<Utc>) -> Finding {
    let Some(days) = policy.days(Retained::Events) else {
        return RETENTION.wrong("off: events are kept for ever", "set RETENTION_DAYS=90");
    };
    let record = match ask(store, async |store| store.retention_record().await).await {
        Ok(record) => record,
        Err(error) => return away(RETENTION, &error),
    };
    let mend = "see the log of the service for why, or run mlops-service retention run";
    match record {
        None => RETENTION.warning(
            format!("{days} days, but no run yet: the service did not start on this database so far"),
            "start the service, or have cron call mlops-service retention run",
        ),
        Some(record) => match record.done_at {
            Some(at) if now - at <= RUN_AGE => {
                RETENTION.ok(format!("{days} days; the last run began {}", at.format("%Y-%m-%d %H:%M UTC")))
            }
            Some(at) => RETENTION.wrong(
                format!(
                    "{days} days, but the last run that came to its end began {}",
                    at.format("%Y-%m-%d %H:%M UTC")
                ),
                mend,
            ),
            None if now - record.waiting_since <= RUN_AGE => {
                RETENTION.ok(format!("{days} days; the first run is still to come"))
            }
            None => RETENTION.wrong(format!("{days} days, but no run came to its end"), mend),
        },
    }
}

/// Whether what belongs to the receptionist app is deleted, where it is here.
pub(super) async fn app_retention(store: Result<&Store, &String>, policy: Policy) -> [Finding; 2] {
    let chats = Check::new("retention-chats", "RETENTION_CHATS_DAYS, and the app's tables");
    let appointments =
        Check::new("retention-appointments", "RETENTION_APPOINTMENTS_DAYS, and the app's table");
    let kinds = [Retained::Messages, Retained::ChatMessages, Retained::Conversations];
    [
        of_app(chats, store, policy, &kinds, "RETENTION_CHATS_DAYS").await,
        of_app(appointments, store, policy, &[Retained::Appointments], "RETENTION_APPOINTMENTS_DAYS").await,
    ]
}

async fn of_app(
    check: Check,
    store: Result<&Store, &String>,
    policy: Policy,
    kinds: &[Retained],
    setting: &str,
) -> Finding {
    let mut there = Vec::new();
    for kind in kinds {
        match ask(store, async |store| store.has_table(*kind).await).await {
            Ok(true) => there.push(kind.table()),
            Ok(false) => {}
            Err(error) => return away(check, &error),
        }
    }
    match (policy.days(kinds[0]), there.is_empty()) {
        (_, true) => check.not_applicable("the app's tables are not in this database"),
        (Some(days), false) => check.ok(format!("{} are kept for {days} days", there.join(", "))),
        (None, false) => check.warning(
            format!("off: {} are never deleted", there.join(", ")),
            format!("decide how long they are needed, and set {setting}"),
        ),
    }
}
