//! Errors of the store, by what the caller can do about them.

use std::io::ErrorKind as ErrorKindOfIo;

use sqlx::error::{DatabaseError, ErrorKind};

/// An error of the store. Its message is safe to log: it contains no values of events and no password.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A foreign key requires a business that does not exist.
    #[error("unknown business")]
    UnknownBusiness,
    /// Another database constraint rejected the event.
    #[error("a database constraint rejected the event (code {code}, constraint {constraint})")]
    Refused {
        /// The SQLSTATE.
        code: String,
        /// The name of the constraint, or `unknown`.
        constraint: String,
    },
    /// A row has a value outside the range that the service writes there.
    #[error("a row cannot be read (column {0})")]
    Unreadable(String),
    /// Two writers conflicted; the same work may be retried.
    #[error("conflict with another writer (code {0})")]
    Conflict(String),
    /// The database did not respond in time; the outcome is unknown.
    #[error("the database did not respond in time")]
    TimedOut,
    /// The database cannot be used until an operator fixes the problem.
    #[error("{0}")]
    Unusable(String),
    /// The database is unavailable; a retry may succeed.
    #[error("{0}")]
    Unavailable(String),
}

impl StoreError {
    /// Returns whether the event is at fault, not the store.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::UnknownBusiness | Self::Refused { .. })
    }

    /// Returns whether the store is away: it may have all that is asked for, and does not return it.
    #[must_use]
    pub const fn is_away(&self) -> bool {
        !self.is_refusal() && !matches!(self, Self::Unreadable(_))
    }

    /// Returns whether the connection is still usable after this error.
    pub(super) const fn leaves_connection_usable(&self) -> bool {
        self.is_refusal() || matches!(self, Self::Conflict(_))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => from_database(error.as_ref()),
            sqlx::Error::PoolTimedOut => Self::Unavailable("cannot reach the database".to_owned()),
            sqlx::Error::Tls(ref cause) if cause.to_string().contains("does not support TLS") => {
                Self::Unusable(format!(
                    "{cause}; for a local database without TLS, set sslmode=disable in DATABASE_URL"
                ))
            }
            // How rustls reports a certificate that it does not trust.
            sqlx::Error::Io(error) if error.kind() == ErrorKindOfIo::InvalidData => {
                Self::Unusable(format!("the server's certificate was rejected: {error}"))
            }
            sqlx::Error::Io(error) if error.kind() == ErrorKindOfIo::NotFound => Self::Unusable(format!(
                "a file named in DATABASE_URL, such as sslrootcert, is missing: {error}"
            )),
            sqlx::Error::Tls(_) | sqlx::Error::Configuration(_) => Self::Unusable(error.to_string()),
            // The source of these quotes the value.
            sqlx::Error::ColumnDecode { index, .. } => Self::Unreadable(index),
            sqlx::Error::Decode(_) => Self::Unreadable("unknown".to_owned()),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            sqlx::migrate::MigrateError::Execute(error)
            | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => error.into(),
            sqlx::migrate::MigrateError::VersionMissing(version) => Self::Unusable(format!(
                "a newer version of the service has migrated this database (migration {version}); run that version"
            )),
            other => Self::Unusable(format!("migration failed: {other}")),
        }
    }
}

/// Classifies an error that the database reported. Its detail, which may quote values, is left out.
fn from_database(error: &dyn DatabaseError) -> StoreError {
    let code = error.code().unwrap_or_default().into_owned();
    let constraint = error.constraint().unwrap_or("unknown").to_owned();
    match error.kind() {
        ErrorKind::ForeignKeyViolation if !constraint.contains("conversation") => StoreError::UnknownBusiness,
        // The only unique values we write are event ids: another replica has just written this one.
        ErrorKind::UniqueViolation => StoreError::Conflict(code),
        ErrorKind::ForeignKeyViolation | ErrorKind::NotNullViolation | ErrorKind::CheckViolation => {
            StoreError::Refused { code, constraint }
        }
        _ => from_code(code, constraint, error.message()),
    }
}

/// Classifies an error by the class of its SQLSTATE (PostgreSQL manual, appendix A), which has five
/// characters, or by SQLite's primary result code, the low byte of a shorter number.
fn from_code(code: String, constraint: String, message: &str) -> StoreError {
    let description = format!("{message} (code {code})");
    let class = code.get(..2).filter(|_| code.len() == 5);
    match (class, code.as_str()) {
        // Serialization failure, deadlock, lock not available.
        (_, "40001" | "40P01" | "55P03") => StoreError::Conflict(code),
        // Cancelled by statement_timeout.
        (_, "57014") => StoreError::TimedOut,
        // Wrong credentials, no such database, no such table or column, missing permission.
        (Some("28" | "3D" | "42"), _) => StoreError::Unusable(description),
        // A start-up parameter that a pooler does not pass on.
        (_, "08P01") if description.contains("startup parameter") => StoreError::Unusable(format!(
            "{description}; a pooler refuses it: remove it from the URL, or use the direct host of the server"
        )),
        // Data exceptions, other integrity constraints, and errors raised by a trigger.
        (Some("22" | "23" | "P0"), _) => StoreError::Refused { code, constraint },
        // Constraints, including errors raised by a trigger.
        (None, number) if number.parse::<u32>().unwrap_or(0) & 0xff == 19 => {
            StoreError::Refused { code, constraint }
        }
        // Read-only, corrupt, cannot be opened, not a database.
        (None, number) if matches!(number.parse::<u32>().unwrap_or(0) & 0xff, 8 | 11 | 14 | 26) => {
            StoreError::Unusable(format!(
                "{description}; check the file, its directory and their permissions"
            ))
        }
        _ => StoreError::Unavailable(description),
    }
}
