//! Opens the store and brings its tables up to date.

use std::fs::DirBuilder;
use std::path::Path;

use super::{Db, Store, StoreError, dialect, lease::Lease};
use crate::config::{Config, Database};

impl Store {
    /// Opens the database of `config`. Nothing is connected yet, so a server that is away is no error here.
    pub fn open(config: &Config) -> Result<Self, StoreError> {
        let (read, write, place) = match &config.database_url {
            Database::Sqlite(path) => {
                create_folder(path)?;
                let (read, write) = dialect::sqlite(path);
                (read, write, format!("SQLite at {}", path.display()))
            }
            Database::Postgres(postgres) => {
                let (read, write) = dialect::postgres(postgres, config.database_connections.get())?;
                (read, write, format!("Postgres at {}", postgres.place))
            }
        };
        Ok(Self { read, write, zone: config.time_zone, place })
    }

    /// Brings the tables up to date. Replicas that start together take turns.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        match &self.write {
            Db::Postgres(pool) => {
                let mut lease = Lease::take(pool).await?;
                dialect::unlimit(lease.connection()).await?;
                sqlx::migrate!("migrations/postgres").run_direct(None, lease.connection(), false).await?;
            }
            Db::Sqlite(pool) => {
                let mut lease = Lease::take(pool).await?;
                sqlx::migrate!("migrations/sqlite").run_direct(None, lease.connection(), false).await?;
            }
        }
        Ok(())
    }
}

/// Creates the folder of the file at `path`; only its owner may look into it.
fn create_folder(path: &Path) -> Result<(), StoreError> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists())
    else {
        return Ok(());
    };
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|error| {
        StoreError::Unusable(format!("the folder {} cannot be created: {error}", folder.display()))
    })
}
