//! The encryption of the connection.

use crate::store::{Db, READ_LIMIT, Store, StoreError};

/// The encryption of a connection, as the server sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encryption {
    /// Whether it is encrypted.
    pub ssl: bool,
    /// The TLS version.
    pub version: Option<String>,
}

from_row!(sqlx::postgres::PgRow => Encryption { ssl, version });

impl Store {
    /// Returns the encryption of the connection; `None` for an embedded file.
    pub async fn encryption(&self) -> Result<Option<Encryption>, StoreError> {
        const SQL: &str = "select ssl, version from pg_stat_ssl where pid = pg_backend_pid()";
        let Db::Postgres(db) = &self.read else { return Ok(None) };
        crate::store::on!(@run db, READ_LIMIT, conn, sqlx::query_as(SQL).fetch_optional(conn).await)
    }
}
