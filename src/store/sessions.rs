//! Browsers that are signed in.

use chrono::{DateTime, Utc};

use super::{LOOKUP_LIMIT, READ_LIMIT, Store, StoreError, dialect};
use crate::auth::key::{KeyId, SecretHash};

/// The key with which a browser signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionKey {
    /// A key of `MLOPS_API_KEY`, by its fingerprint.
    Configured(u64),
    /// A named key, and the hash of the secret that was used.
    Named(KeyId, SecretHash),
}

/// A browser that is signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// The key that it has the rights of.
    pub key: SessionKey,
    /// When it signed in.
    pub created_at: DateTime<Utc>,
    /// When it is signed out.
    pub expires_at: DateTime<Utc>,
}

/// A row of `mlops_sessions` as the database returns it.
struct RawSession {
    key_id: Option<String>,
    key_hash: Vec<u8>,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

from_row!(RawSession { key_id, key_hash, created_at, expires_at });

impl TryFrom<RawSession> for Session {
    type Error = StoreError;

    fn try_from(row: RawSession) -> Result<Self, StoreError> {
        let unreadable = |column: &str| StoreError::Unreadable(format!("mlops_sessions.{column}"));
        let hash = row.key_hash.as_slice();
        let key = match row.key_id {
            None => SessionKey::Configured(u64::from_le_bytes(
                hash.try_into().map_err(|_: _| unreadable("key_hash"))?,
            )),
            Some(id) => SessionKey::Named(
                id.parse().map_err(|_: _| unreadable("key_id"))?,
                SecretHash(hash.try_into().map_err(|_: _| unreadable("key_hash"))?),
            ),
        };
        Ok(Self { key, created_at: row.created_at, expires_at: row.expires_at })
    }
}

impl SessionKey {
    /// Returns what is stored of it.
    fn columns(&self) -> (Option<String>, Vec<u8>) {
        match self {
            Self::Configured(fingerprint) => (None, fingerprint.to_le_bytes().to_vec()),
            Self::Named(id, hash) => (Some(id.to_string()), hash.0.to_vec()),
        }
    }
}

impl Store {
    /// Stores a session by the hash of its cookie's value, and deletes those that are over.
    pub async fn add_session(&self, token: &SecretHash, session: &Session) -> Result<(), StoreError> {
        const PURGE: &str = "delete from mlops_sessions where expires_at <= $1";
        const ADD: &str = "insert into mlops_sessions (token_hash, key_id, key_hash, created_at, expires_at)
            values ($1, $2, $3, $4, $5)";
        let (key_id, key_hash) = session.key.columns();
        on!(&self.admin, READ_LIMIT, |conn| {
            let mut tx = dialect::begin(conn).await?;
            sqlx::query(PURGE).bind(session.created_at).execute(&mut *tx).await?;
            let add = sqlx::query(ADD).bind(token.0.to_vec()).bind(&key_id).bind(&key_hash);
            add.bind(session.created_at).bind(session.expires_at).execute(&mut *tx).await?;
            tx.commit().await
        })
    }

    /// Returns the session with this hash of its cookie's value, whether it is over or not.
    pub async fn session(&self, token: &SecretHash) -> Result<Option<Session>, StoreError> {
        const SQL: &str =
            "select key_id, key_hash, created_at, expires_at from mlops_sessions where token_hash = $1";
        let row = on!(&self.read, LOOKUP_LIMIT, |conn| {
            sqlx::query_as::<_, RawSession>(SQL).bind(token.0.to_vec()).fetch_optional(conn).await
        })?;
        row.map(Session::try_from).transpose()
    }

    /// Deletes a session. Returns whether there was one.
    pub async fn end_session(&self, token: &SecretHash) -> Result<bool, StoreError> {
        const SQL: &str = "delete from mlops_sessions where token_hash = $1";
        on!(&self.admin, READ_LIMIT, |conn| {
            Ok(sqlx::query(SQL).bind(token.0.to_vec()).execute(conn).await?.rows_affected() > 0)
        })
    }
}
