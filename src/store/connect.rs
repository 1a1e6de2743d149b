//! Opens the store and brings its tables up to date.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::path::Path;

use super::dialect::{self, Pools};
use super::{Db, Store, StoreError};
use crate::config::{Config, Database, Environment, Tls};
use crate::subject::Hasher;

impl Store {
    /// Opens the database of `config`. Nothing is connected yet, so a server that is away is no error here.
    pub fn open(config: &Config) -> Result<Self, StoreError> {
        let (pools, place) = match &config.database_url {
            Database::Sqlite(path) => {
                create_file(path)?;
                (dialect::sqlite(path), format!("SQLite at {}", path.display()))
            }
            Database::Postgres(postgres) => {
                if config.environment == Environment::Production && postgres.tls == Tls::Require {
                    tracing::warn!(
                        "DATABASE_URL has sslmode=require: the connection is encrypted, but the server's identity is \
                         not checked; use sslmode=verify-full with sslrootcert"
                    );
                }
                let pools =
                    dialect::postgres(postgres, config.database_connections.get(), config.store_timeout.0)?;
                (pools, format!("Postgres at {}", postgres.place))
            }
        };
        let Pools { read, write, admin } = pools;
        Ok(Self { read, write, admin, zone: config.time_zone, consent: consent(config)?, place })
    }

    /// Brings the tables up to date. Replicas that start together take turns.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        match &self.write {
            Db::Postgres(db) => {
                let mut lease = db.lease().await?;
                dialect::unlimit(lease.connection()).await?;
                sqlx::migrate!("migrations/postgres").run_direct(None, lease.connection(), false).await?;
            }
            Db::Sqlite(db) => {
                let mut lease = db.lease().await?;
                sqlx::migrate!("migrations/sqlite").run_direct(None, lease.connection(), false).await?;
            }
        }
        Ok(())
    }
}

/// Where consent is required: what tells whose it is.
fn consent(config: &Config) -> Result<Option<Hasher>, StoreError> {
    if !config.consent_required {
        return Ok(None);
    }
    let missing = || StoreError::Unusable("CONSENT_REQUIRED=true needs PRIVACY_HASH_KEY".to_owned());
    Hasher::of(config).map(Some).ok_or_else(missing)
}

/// Creates the file at `path` and its folder, where they are not there, for their owner alone. SQLite gives its other
/// files the same mode.
pub(super) fn create_file(path: &Path) -> Result<(), StoreError> {
    let create = || {
        if let Some(folder) =
            path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists())
        {
            let mut builder = DirBuilder::new();
            builder.recursive(true);
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.create(folder)?;
        }
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path).map(drop)
    };
    create().map_err(|error: io::Error| {
        StoreError::Unusable(format!("the file {} cannot be written: {error}", path.display()))
    })
}
