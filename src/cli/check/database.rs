//! Checks of the database: whether it can be used, its connection, and the rights of the role.

use super::finding::{Check, Finding};
use crate::config::{Config, Database, Environment, PostgresUrl, Tls};
use crate::store::{Encryption, Privileges, Store, StoreError};

const DATABASE: Check = Check::new("database", "whether the database of DATABASE_URL can be used");
const TLS: Check = Check::new("database-tls", "the connection as the server sees it, and sslmode");
const ROLE: Check = Check::new("database-role", "the rights of the role of DATABASE_URL");
const TRAIL: Check = Check::new("audit-append-only", "its rights on mlops_audit, and the triggers there");
const MIGRATIONS: Check = Check::new("migration-role", "MIGRATION_DATABASE_URL");
const FILE: Check = Check::new("database-file", "who can read the database file");

/// Checks that the database can be used. `error` is why not: the one finding about that, whatever depends on it.
pub(super) fn usable(error: Option<&String>) -> Finding {
    match error {
        None => DATABASE.ok("it can be reached, and its tables are those of this version"),
        Some(error) => DATABASE.wrong(
            error.clone(),
            "make sure that the database can be reached, run mlops-service migrate, and check again",
        ),
    }
}

/// Runs `query` on the store for `check`. Without a store, or when that fails, the result is the finding.
pub(super) async fn with_store<T>(
    check: Check,
    store: Option<&Store>,
    query: impl AsyncFnOnce(&Store) -> Result<T, StoreError>,
) -> Result<T, Finding> {
    let store = store.ok_or_else(|| check.without_database())?;
    query(store).await.map_err(|error| {
        let fix =
            "see that the role of DATABASE_URL may read the table (migrations/roles.sql), and check again";
        check.wrong(format!("could not be checked: {error}"), fix)
    })
}

/// Runs the checks of the database itself. `has_tables` is whether its tables are those of this version.
pub(super) async fn checks(config: &Config, store: Option<&Store>, has_tables: bool) -> Vec<Finding> {
    let Database::Postgres(postgres) = &config.database_url else {
        let file = "the database is a file on this machine";
        let mut findings: Vec<Finding> =
            [TLS, ROLE, TRAIL, MIGRATIONS].map(|check| check.not_applicable(file)).into();
        findings.push(file_mode(config));
        return findings;
    };
    let encryption = with_store(TLS, store, async |store| store.encryption().await).await;
    let privileges = with_store(ROLE, store, async |store| store.privileges().await).await;
    let trail = match &privileges {
        _ if !has_tables => TRAIL.without_database(),
        Ok(found) => trail(found.as_ref()),
        Err(_) => TRAIL.not_applicable("not checked; see the check \"database-role\""),
    };
    vec![
        encryption.map_or_else(|finding| finding, |found| tls(config, postgres, found)),
        privileges.map_or_else(|finding| finding, |found| role(found.as_ref())),
        trail,
        migrations(config),
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
    let fix = "run migrations/roles.sql, set MIGRATION_DATABASE_URL to the owner's role and DATABASE_URL to the service's";
    // The other rights follow from that.
    let may = if privileges.is_superuser { vec!["it is a superuser".to_owned()] } else { powers(privileges) };
    match (may.is_empty(), privileges.beyond.is_empty()) {
        (false, _) => ROLE.wrong(may.join("; "), fix),
        (true, false) => ROLE.warning(
            format!("it has rights that the service does not need: {}", privileges.beyond.join(", ")),
            "run migrations/roles.sql again",
        ),
        (true, true) => {
            ROLE.ok("it cannot drop, alter, create or truncate anything, and has no right it does not need")
        }
    }
}

/// Returns what the role can do beyond the rows of the service's tables.
fn powers(privileges: &Privileges) -> Vec<String> {
    let listed =
        |what: &str, names: &[String]| (!names.is_empty()).then(|| format!("{what} {}", names.join(", ")));
    // Who owns a table can truncate it.
    let not_owned = |names: &[String]| -> Vec<String> {
        names.iter().filter(|name| !privileges.owns.contains(name)).cloned().collect()
    };
    [
        listed("it", &privileges.above_others),
        listed("it is a member of", &privileges.predefined),
        listed("it can create", &privileges.creates),
        listed("it can drop and alter", &privileges.owns),
        listed("it can truncate", &not_owned(&privileges.truncates)),
        listed("it can create triggers on", &not_owned(&privileges.triggers)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn trail(found: Option<&Privileges>) -> Finding {
    let Some(privileges) = found else { return TRAIL.not_applicable("SQLite has no roles") };
    if !privileges.unguarded.is_empty() {
        return TRAIL.wrong(
            format!("triggers that keep it are missing or disabled: {}", privileges.unguarded.join(", ")),
            "find out who disabled them, enable them (alter table mlops_audit enable trigger all) as the owner, and run \
             mlops-service audit verify",
        );
    }
    match privileges.on_audit.is_empty() {
        true => TRAIL.ok("it can only insert and read, and the triggers are in force"),
        false => TRAIL.wrong(
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

#[cfg(unix)]
fn file_mode(config: &Config) -> Finding {
    use std::os::unix::fs::PermissionsExt;
    let Database::Sqlite(path) = &config.database_url else { return FILE.not_applicable("not SQLite") };
    match path.metadata().map(|file| file.permissions().mode() & 0o777) {
        Err(_) => FILE.without_database(),
        Ok(mode) if !crate::config::is_open_to_others(mode) => {
            FILE.ok(format!("owner only (mode {mode:03o})"))
        }
        Ok(mode) => {
            FILE.wrong(format!("others as well (mode {mode:03o})"), format!("chmod 600 {}*", path.display()))
        }
    }
}

#[cfg(not(unix))]
fn file_mode(_: &Config) -> Finding {
    FILE.not_applicable("file modes do not exist on this system; check the file's permissions yourself")
}
