//! What can go wrong with the store, by what the caller can do about it.

use std::io::ErrorKind as ErrorKindOfIo;

use sqlx::error::{DatabaseError, ErrorKind};

/// A failure of the store. Its text may go to a log; it holds no value of any event and no password.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A foreign key knows no such business.
    #[error("the database knows no such business")]
    UnknownBusiness,
    /// Another rule of the database refuses the event.
    #[error("a rule of the database refuses the event (code {code}, constraint {constraint})")]
    Refused {
        /// The SQLSTATE.
        code: String,
        /// The rule's name, where the database tells it.
        constraint: String,
    },
    /// A row holds what no program that keeps to the table's types writes there.
    #[error("a row holds what cannot be read (column {0})")]
    Unreadable(String),
    /// Two writers met; the same work may be tried again.
    #[error("another writer was in the way (code {0})")]
    Conflict(String),
    /// The database did not answer in time; what it did is not known.
    #[error("the database did not answer in time")]
    TimedOut,
    /// The database cannot be used and waiting does not help: a person must change something.
    #[error("{0}")]
    Unusable(String),
    /// The database cannot be used now.
    #[error("{0}")]
    Unavailable(String),
}

impl StoreError {
    /// Whether the fault is the event's, not the store's.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::UnknownBusiness | Self::Refused { .. })
    }
}

impl StoreError {
    /// Whether the database told the error about the work alone, and its session may go on.
    pub(super) const fn leaves_connection_sound(&self) -> bool {
        self.is_refusal() || matches!(self, Self::Conflict(_))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => of_database(error.as_ref()),
            sqlx::Error::PoolTimedOut => Self::Unavailable("the database cannot be reached".to_owned()),
            sqlx::Error::Tls(ref cause) if cause.to_string().contains("does not support TLS") => {
                Self::Unusable(format!(
                    "{cause}; for a database on this machine without it, put sslmode=disable into DATABASE_URL"
                ))
            }
            // So rustls tells a certificate that it does not trust.
            sqlx::Error::Io(error) if error.kind() == ErrorKindOfIo::InvalidData => {
                Self::Unusable(format!("the certificate of the server is refused: {error}"))
            }
            sqlx::Error::Io(error) if error.kind() == ErrorKindOfIo::NotFound => Self::Unusable(format!(
                "a file that DATABASE_URL names, such as its sslrootcert, is missing: {error}"
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
                "a newer version of the service has migrated this database (migration {version}); run that one"
            )),
            other => Self::Unusable(format!("migrations do not apply: {other}")),
        }
    }
}

/// Sorts an error that the database told. Its detail, which may quote values, is left out.
fn of_database(error: &dyn DatabaseError) -> StoreError {
    let code = error.code().unwrap_or_default().into_owned();
    let constraint = error.constraint().unwrap_or("unknown").to_owned();
    match error.kind() {
        ErrorKind::ForeignKeyViolation if !constraint.contains("conversation") => StoreError::UnknownBusiness,
        // The only unique values we write are ids of events: another replica wrote this one a moment ago.
        ErrorKind::UniqueViolation => StoreError::Conflict(code),
        ErrorKind::ForeignKeyViolation | ErrorKind::NotNullViolation | ErrorKind::CheckViolation => {
            StoreError::Refused { code, constraint }
        }
        _ => of_code(code, constraint, error.message()),
    }
}

/// Sorts by the classes of SQLSTATE (PostgreSQL manual, appendix A), which has five characters, or by the primary
/// result codes of SQLite, the low byte of a shorter number.
fn of_code(code: String, constraint: String, message: &str) -> StoreError {
    let told = format!("{message} (code {code})");
    let class = code.get(..2).filter(|_| code.len() == 5);
    match (class, code.as_str()) {
        // Serialization failure, deadlock, lock not available.
        (_, "40001" | "40P01" | "55P03") => StoreError::Conflict(code),
        // Cancelled by statement_timeout.
        (_, "57014") => StoreError::TimedOut,
        // Wrong credentials, no such database, no such table or column, missing permission.
        (Some("28" | "3D" | "42"), _) => StoreError::Unusable(told),
        // Data exceptions, other integrity rules, and errors that a trigger raises.
        (Some("22" | "23" | "P0"), _) => StoreError::Refused { code, constraint },
        // A rule, such as a trigger, as `P0` is.
        (None, number) if number.parse::<u32>().unwrap_or(0) & 0xff == 19 => {
            StoreError::Refused { code, constraint }
        }
        // Read-only, corrupt, cannot be opened, no database.
        (None, number) if matches!(number.parse::<u32>().unwrap_or(0) & 0xff, 8 | 11 | 14 | 26) => {
            StoreError::Unusable(format!("{told}; see to the file, its folder and their permissions"))
        }
        _ => StoreError::Unavailable(told),
    }
}
