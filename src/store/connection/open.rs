//! Opens the store and brings its tables up to date.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::Arc;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{Executor, PgConnection};

use crate::business::ProfileCache;
use crate::config::{Config, Database, Environment, PostgresUrl, Tls};
use crate::store::analytics::FiguresCache;
use crate::store::connection::file::{WatchedFile, beside};
use crate::store::connection::online_index;
use crate::store::dialect::{self, Pools};
use crate::store::events::foreign::Chunk;
use crate::store::events::keeping::Keeping;
use crate::store::migrations::{POSTGRES, SQLITE};
use crate::store::replica::Replica;
use crate::store::{Db, READ_LIMIT, Store, StoreError};

/// The error for a role that cannot change tables.
const MISSING: &str = "migrations are missing: run mlops-service migrate with MIGRATION_DATABASE_URL";

impl Store {
    /// Opens the database of `config`. This does not connect yet, so an unavailable server is not an error.
    pub fn open(config: &Config) -> Result<Self, StoreError> {
        let (pools, place, file) = match &config.database_url {
            Database::Sqlite(path) => {
                create_file(path)?;
                let file = WatchedFile::new(path);
                (dialect::sqlite(path, &file), format!("SQLite at {}", path.display()), Some(file))
            }
            Database::Postgres(postgres) => {
                warn_of_unverified(config, "DATABASE_URL", postgres);
                let pools =
                    dialect::postgres(postgres, config.database_connections.get(), config.store_timeout.0)?;
                (pools, format!("Postgres at {}", postgres.place), None)
            }
        };
        let replica = config.database_read_url.as_ref();
        let replica = replica.map(|url| {
            warn_of_unverified(config, "DATABASE_READ_URL", url);
            dialect::replica(url, config.database_connections.get()).map(Replica::new)
        });
        let replica = replica.transpose()?;
        let Pools { read, write, admin, sweep } = pools;
        let retention_lock = match &config.database_url {
            Database::Sqlite(path) => Some(beside(path, "-retention")),
            Database::Postgres(_) => None,
        };
        let (keeping, migrates) = (keeping(config)?, config.migration_database_url.is_none());
        Ok(Self {
            read,
            replica,
            write,
            admin,
            sweep,
            file,
            retention_lock,
            profiles: ProfileCache::new(config.time_zone),
            prices: config.prices(),
            shares_book: Arc::default(),
            figures: FiguresCache::new(),
            foreign_chunk: Chunk::new(),
            keeping,
            place,
            migrates,
        })
    }

    /// Opens the database of `config` as the role that owns the tables, if one is configured.
    pub fn open_as_owner(config: &Config) -> Result<Self, StoreError> {
        match config.migration_database_url.clone() {
            Some(owner) => {
                let database_url = Database::Postgres(owner);
                let (migration_database_url, database_read_url) = (None, None);
                Self::open(&Config {
                    database_url,
                    migration_database_url,
                    database_read_url,
                    ..config.clone()
                })
            }
            None => Self::open(config),
        }
    }

    /// Runs migrations or, if another role is to run them, checks that none is missing. Replicas that start
    /// together run them one at a time.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.run_migrations().await?;
        self.begin_rebuild().await
    }

    async fn run_migrations(&self) -> Result<(), StoreError> {
        match &self.write {
            Db::Postgres(db) => {
                let mut lease = db.lease().await?;
                if is_current(lease.connection()).await? {
                    return lease.finish(Ok(())).await;
                }
                if !self.migrates {
                    return Err(StoreError::Unusable(MISSING.to_owned()));
                }
                if lease.is_transaction() {
                    let migrated = migrate_in_transaction(lease.connection()).await;
                    migrated.map_err(StoreError::from).map_err(explain_denial)?;
                    return lease.finish(Ok(())).await;
                }
                dialect::remove_timeout(lease.connection()).await?;
                online_index::build(lease.connection())
                    .await
                    .map_err(StoreError::from)
                    .map_err(explain_denial)?;
                let migrated = POSTGRES.run_direct(None, lease.connection(), false).await;
                // The connection is closed: it has no time limits.
                migrated.map_err(StoreError::from).map_err(explain_denial)
            }
            Db::Sqlite(db) => {
                let mut lease = db.lease().await?;
                Ok(SQLITE.run_direct(None, lease.connection(), false).await?)
            }
        }
    }
}

impl Store {
    /// Checks that all migrations are applied and none of a newer version, and changes nothing.
    pub async fn check_migrations(&self) -> Result<(), StoreError> {
        const APPLIED: &str = "select version, checksum from _sqlx_migrations where success";
        let there = match &self.read {
            Db::Postgres(_) => "select count(to_regclass('_sqlx_migrations'))",
            Db::Sqlite(_) => "select count(*) from sqlite_schema where name = '_sqlx_migrations'",
        };
        let applied: Vec<(i64, Vec<u8>)> = on!(&self.read, READ_LIMIT, |conn| {
            let there: i64 = sqlx::query_scalar(there).fetch_one(&mut *conn).await?;
            match there {
                0 => Ok(Vec::new()),
                _ => sqlx::query_as(APPLIED).fetch_all(conn).await,
            }
        })?;
        let migrator = if self.is_file() { &*SQLITE } else { &*POSTGRES };
        match are_all(migrator, &applied)? {
            true => Ok(()),
            false => {
                Err(StoreError::Unusable("migrations are missing: run mlops-service migrate".to_owned()))
            }
        }
    }
}

/// Runs all migrations in the transaction of the connection. The lock of a session, which `sqlx` takes, would outlive it behind a
/// pooler.
async fn migrate_in_transaction(conn: &mut PgConnection) -> Result<(), MigrateError> {
    conn.execute(
        "set local statement_timeout = 0; select pg_advisory_xact_lock(hashtext('mlops_migrations'))",
    )
    .await?;
    let mut migrator = Migrator::with_migrations(POSTGRES.iter().cloned().collect());
    migrator.set_locking(false);
    migrator.run_direct(None, conn, false).await
}

/// Returns whether every migration is applied. This needs no right to create tables.
async fn is_current(conn: &mut PgConnection) -> Result<bool, StoreError> {
    let there = "select to_regclass('_sqlx_migrations') is not null";
    if !sqlx::query_scalar(there).fetch_one(&mut *conn).await? {
        return Ok(false);
    }
    let applied = "select version, checksum from _sqlx_migrations where success";
    let applied: Vec<(i64, Vec<u8>)> = sqlx::query_as(applied).fetch_all(&mut *conn).await?;
    Ok(are_all(&POSTGRES, &applied)?)
}

/// Returns whether these applied migrations, each with its checksum, are all there are.
fn are_all(migrator: &Migrator, applied: &[(i64, Vec<u8>)]) -> Result<bool, MigrateError> {
    for (version, checksum) in applied {
        let known = migrator.iter().find(|migration| migration.version == *version);
        let known = known.ok_or(MigrateError::VersionMissing(*version))?;
        if *checksum != *known.checksum {
            return Err(MigrateError::VersionMismatch(*version));
        }
    }
    Ok(applied.len() == migrator.iter().count())
}

/// Warns of a connection that is encrypted to a server that is not verified, in production.
fn warn_of_unverified(config: &Config, variable: &str, url: &PostgresUrl) {
    if config.environment == Environment::Production && url.tls == Tls::Require {
        tracing::warn!(
            "{variable} has sslmode=require: the connection is encrypted, but the server is not verified; use \
             sslmode=verify-full with sslrootcert"
        );
    }
}

/// Adds a hint to an error about a role that cannot change tables.
fn explain_denial(error: StoreError) -> StoreError {
    match error {
        StoreError::Unusable(what) if what.contains("42501") => {
            StoreError::Unusable(format!("{what}; {MISSING} set to the role that owns the tables"))
        }
        other => other,
    }
}

/// Returns what decides which rows of events are kept.
fn keeping(config: &Config) -> Result<Keeping, StoreError> {
    let keeping = Keeping { hasher: config.hasher(), by_consent: config.consent_required };
    match (&keeping.hasher, keeping.by_consent) {
        (None, true) => Err(StoreError::Unusable("CONSENT_REQUIRED=true needs PRIVACY_HASH_KEY".to_owned())),
        _ => Ok(keeping),
    }
}

/// Creates the file at `path` and its directory if they do not exist, accessible only to their owner. SQLite
/// gives its companion files the same mode.
pub(crate) fn create_file(path: &Path) -> Result<(), StoreError> {
    let create = || {
        if let Some(directory) =
            path.parent().filter(|directory| !directory.as_os_str().is_empty() && !directory.exists())
        {
            let mut builder = DirBuilder::new();
            builder.recursive(true);
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.create(directory)?;
        }
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path).map(drop)
    };
    create().map_err(|error: io::Error| {
        StoreError::Unusable(format!("cannot write to {}: {error}", path.display()))
    })
}
