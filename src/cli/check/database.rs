//! Checks of the database: its connection, the rights of the role, the audit trail and retention.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::finding::{Check, Finding};
use crate::config::{Config, Database, Environment, PostgresUrl, Tls};
use crate::retention::Policy;
use crate::store::{Encryption, Privileges, Retained, Store, StoreError};

/// The time limit of verifying the audit trail.
const VERIFY_LIMIT: Duration = Duration::from_mins(1);

/// The maximum age of the last retention run: one day, plus the time it takes.
const RUN_AGE: TimeDelta = TimeDelta::hours(26);

const TLS: Check = Check::new("database-tls", "the connection as the server sees it, and sslmode");
const ROLE: Check = Check::new("database-role", "the rights of the role of DATABASE_URL");
const TRAIL: Check = Check::new("audit-append-only", "its rights on mlops_audit");
const CHAIN: Check = Check::new("audit-chain", "every entry of the audit trail");
const MIGRATIONS: Check = Check::new("migration-role", "MIGRATION_DATABASE_URL");
const RETENTION: Check = Check::new("retention", "RETENTION_DAYS, and the last run");

/// Returns the finding of a check that needs the database while that is unavailable.
pub(super) fn unavailable(check: Check, error: &str) -> Finding {
    check.wrong(
        format!("could not be checked: {error}"),
        "make sure that the database can be reached, run mlops-service migrate, and check again",
    )
}

/// Runs `query` on the store, if it is available.
async fn with_store<T>(
    store: Result<&Store, &String>,
    query: impl AsyncFnOnce(&Store) -> Result<T, StoreError>,
) -> Result<T, String> {
    match store {
        Ok(store) => query(store).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.clone()),
    }
}

/// Runs the checks of the database itself.
pub(super) async fn checks(config: &Config, store: Result<&Store, &String>) -> Vec<Finding> {
    let Database::Postgres(postgres) = &config.database_url else {
        let file = "the database is a file on this machine";
        let mut findings: Vec<Finding> =
            [TLS, ROLE, TRAIL, MIGRATIONS].map(|check| check.not_applicable(file)).into();
        findings.push(file_mode(config));
        findings.push(chain(store).await);
        return findings;
    };
    let encryption = with_store(store, async |store| store.encryption().await).await;
    let privileges = with_store(store, async |store| store.privileges().await).await;
    vec![
        encryption.map_or_else(|error| unavailable(TLS, &error), |found| tls(config, postgres, found)),
        privileges.as_ref().map_or_else(|error| unavailable(ROLE, error), |found| role(found.as_ref())),
        privileges.as_ref().map_or_else(|error| unavailable(TRAIL, error), |found| trail(found.as_ref())),
        migrations(config),
        chain(store).await,
    ]
}

fn tls(config: &Config, postgres: &PostgresUrl, found: Option<Encryption>) -> Finding {
    let fix = "sslmode=verify-full with sslrootcert in DATABASE_URL";
    let production = config.environment == Environment::Production;
    let is_here =
        ["localhost:", "127.0.0.1:", "[::1]:", "::1:"].iter().any(|here| postgres.place.starts_with(here));
    if postgres.tls == Tls::Socket {
        return TLS.ok("a socket of this machine");
    }
    let Some(Encryption { ssl: true, version }) = found else {
        let place = if is_here { "on this machine" } else { "over the network" };
        return TLS.wrong_if(production || !is_here, format!("not encrypted, {place}"), fix);
    };
    let version = version.unwrap_or_else(|| "TLS".to_owned());
    match postgres.tls {
        Tls::VerifyFull => TLS.ok(format!("{version}, server certificate and host name verified")),
        Tls::VerifyCa => {
            TLS.warning(format!("{version}, server certificate verified, host name not verified"), fix)
        }
        Tls::Require | Tls::Optional(_) | Tls::Socket => {
            TLS.wrong_if(production, format!("{version}, server not verified"), fix)
        }
    }
}

fn role(found: Option<&Privileges>) -> Finding {
    let Some(privileges) = found else { return ROLE.not_applicable("SQLite has no roles") };
    let may: Vec<String> = [
        privileges.above_others.then(|| "it is a superuser, or can create databases or roles".to_owned()),
        privileges.creates.then(|| "it can create tables".to_owned()),
        (!privileges.owns.is_empty())
            .then(|| format!("it can drop and alter {}", privileges.owns.join(", "))),
        (privileges.owns.is_empty() && !privileges.truncates.is_empty())
            .then(|| format!("it can truncate {}", privileges.truncates.join(", "))),
    ]
    .into_iter()
    .flatten()
    .collect();
    match may.is_empty() {
        true => ROLE.ok("it cannot drop, alter or create anything"),
        false => ROLE.wrong(
            may.join("; "),
            "run migrations/roles.sql, set MIGRATION_DATABASE_URL to the owner's role and DATABASE_URL to the service's",
        ),
    }
}

fn trail(found: Option<&Privileges>) -> Finding {
    match found {
        None => TRAIL.not_applicable("SQLite has no roles"),
        Some(Privileges { has_audit: false, .. }) => {
            TRAIL.wrong("the audit trail does not exist yet", "run mlops-service migrate")
        }
        Some(privileges) if privileges.on_audit.is_empty() => TRAIL.ok("it can only insert and read"),
        Some(privileges) => TRAIL.wrong(
            format!("it can {}", privileges.on_audit.join(", ")),
            "run migrations/roles.sql and connect as the service's role",
        ),
    }
}

fn migrations(config: &Config) -> Finding {
    let fix = "run migrations/roles.sql and set it to the owner's role, used only by mlops-service migrate";
    match (&config.migration_database_url, &config.database_url) {
        (None, _) => MIGRATIONS.warning("not set: migrations run as the service's own role", fix),
        (Some(owner), Database::Postgres(service)) if owner.user() == service.user() => {
            MIGRATIONS.warning("same role as DATABASE_URL", fix)
        }
        (Some(_), _) => MIGRATIONS.ok("separate role"),
    }
}

async fn chain(store: Result<&Store, &String>) -> Finding {
    let found = with_store(store, async |store| {
        store.verify_audit(None, crate::clock::Clock::system().now(), VERIFY_LIMIT).await
    })
    .await;
    let fix = "find out who changed it; see mlops-service audit verify and docs/audit.md";
    match found {
        Err(error) => unavailable(CHAIN, &error),
        Ok(found) => match (found.broken, found.complete) {
            (Some(broken), _) => CHAIN.wrong(broken.to_string(), fix),
            (None, true) => CHAIN.ok(format!("{} entries, chain intact", found.entries)),
            (None, false) => CHAIN.warning(
                format!(
                    "the first {} entries are intact; the time limit left the others unchecked",
                    found.entries
                ),
                "mlops-service audit verify",
            ),
        },
    }
}

#[cfg(unix)]
fn file_mode(config: &Config) -> Finding {
    use std::os::unix::fs::PermissionsExt;
    let check = Check::new("database-file", "who can read the database file");
    let Database::Sqlite(path) = &config.database_url else { return check.not_applicable("not SQLite") };
    match path.metadata().map(|file| file.permissions().mode() & 0o777) {
        Err(error) => unavailable(check, &error.to_string()),
        Ok(mode) if !crate::config::is_open_to_others(mode) => {
            check.ok(format!("owner only (mode {mode:03o})"))
        }
        Ok(mode) => {
            check.wrong(format!("others as well (mode {mode:03o})"), format!("chmod 600 {}*", path.display()))
        }
    }
}

#[cfg(not(unix))]
fn file_mode(_: &Config) -> Finding {
    Check::new("database-file", "who can read the database file")
        .not_applicable("file modes do not exist on this system; check the file's permissions yourself")
}

/// Checks that old events are deleted.
pub(super) async fn retention(store: Result<&Store, &String>, policy: Policy, now: DateTime<Utc>) -> Finding {
    let Some(days) = policy.days(Retained::Events) else {
        return RETENTION.wrong("off: events are kept forever", "set RETENTION_DAYS=90");
    };
    let record = match with_store(store, async |store| store.retention_record().await).await {
        Ok(record) => record,
        Err(error) => return unavailable(RETENTION, &error),
    };
    let fix = "see the service's log for the reason, or run mlops-service retention run";
    match record {
        None => RETENTION.warning(
            format!("{days} days, but no run yet: the service has never started on this database"),
            "start the service, or run mlops-service retention run from cron",
        ),
        Some(record) => match record.done_at {
            Some(at) if now - at <= RUN_AGE => {
                RETENTION.ok(format!("{days} days; the last run started {}", at.format("%Y-%m-%d %H:%M UTC")))
            }
            Some(at) => RETENTION.wrong(
                format!(
                    "{days} days, but the last completed run started {}",
                    at.format("%Y-%m-%d %H:%M UTC")
                ),
                fix,
            ),
            None if now - record.waiting_since <= RUN_AGE => {
                RETENTION.ok(format!("{days} days; the first run is not due yet"))
            }
            None => RETENTION.wrong(format!("{days} days, but no run has completed"), fix),
        },
    }
}

/// Checks that old rows of the receptionist app are deleted, if its tables are in this database.
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
        match with_store(store, async |store| store.has_table(*kind).await).await {
            Ok(true) => there.push(kind.table()),
            Ok(false) => {}
            Err(error) => return unavailable(check, &error),
        }
    }
    match (policy.days(kinds[0]), there.is_empty()) {
        (_, true) => check.not_applicable("the app's tables are not in this database"),
        (Some(days), false) => check.ok(format!("{} are deleted after {days} days", there.join(", "))),
        (None, false) => check.warning(
            format!("off: {} are never deleted", there.join(", ")),
            format!("decide how long to keep them and set {setting}"),
        ),
    }
}
