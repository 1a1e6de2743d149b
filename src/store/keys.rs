//! Named API keys.

use chrono::{DateTime, SubsecRound, Utc};

use super::{LOOKUP_LIMIT, READ_LIMIT, Store, StoreError, audit, dialect};
use crate::audit::Entry;
use crate::auth::key::{KeyId, NamedKey, NoKeyId, Previous, Scopes, SecretHash};

/// Selects a time column that may have been edited by hand, within chrono's range: Postgres allows
/// `infinity`.
macro_rules! bounded {
    ($column:literal) => {
        concat!(
            "case when ",
            $column,
            " > '9999-12-31' then '9999-12-31T00:00:00+00:00' when ",
            $column,
            " < '1970-01-01' then '1970-01-01T00:00:00+00:00' else ",
            $column,
            " end as ",
            $column
        )
    };
}
pub(super) use bounded;

/// The columns of [`RawKey`].
macro_rules! key_columns {
    () => {
        concat!(
            "id, name, secret_hash, previous_hash, scopes, business_id, tier, parent, ",
            bounded!("previous_until"),
            ", ",
            bounded!("created_at"),
            ", ",
            bounded!("expires_at"),
            ", ",
            bounded!("last_used_at"),
            ", ",
            bounded!("revoked_at")
        )
    };
}

/// A row of `mlops_api_keys` as the database returns it.
struct RawKey {
    id: String,
    name: String,
    secret_hash: Vec<u8>,
    previous_hash: Option<Vec<u8>>,
    previous_until: Option<DateTime<Utc>>,
    scopes: String,
    business_id: Option<String>,
    tier: Option<String>,
    parent: Option<String>,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
}

from_row!(RawKey {
    id,
    name,
    secret_hash,
    previous_hash,
    previous_until,
    scopes,
    business_id,
    tier,
    parent,
    created_at,
    expires_at,
    last_used_at,
    revoked_at
});

impl TryFrom<RawKey> for NamedKey {
    type Error = StoreError;

    fn try_from(row: RawKey) -> Result<Self, StoreError> {
        let previous_hash = row.previous_hash.map(hash).transpose()?;
        let previous = previous_hash.zip(row.previous_until);
        Ok(Self {
            id: row.id.parse().map_err(|_: NoKeyId| StoreError::Unreadable("mlops_api_keys.id".into()))?,
            name: row.name,
            scopes: Scopes::from_words(row.scopes.split(' ')),
            business_id: row.business_id,
            tier: row.tier,
            parent: row.parent.and_then(|id| id.parse().ok()),
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            revoked_at: row.revoked_at,
            hash: hash(row.secret_hash)?,
            previous: previous.map(|(hash, until)| Previous { hash, until }),
        })
    }
}

fn hash(bytes: Vec<u8>) -> Result<SecretHash, StoreError> {
    let bytes = bytes.try_into();
    bytes.map(SecretHash).map_err(|_: Vec<u8>| StoreError::Unreadable("mlops_api_keys.secret_hash".into()))
}

/// Changes a key with an `update … returning`, and audits it in the same transaction if there was one to change.
macro_rules! change_key {
    ($store:ident, $sql:ident, $at:ident, $entry:ident, $($value:expr),+) => {{
        let row = on!(&$store.admin, READ_LIMIT, |conn| {
            let query = sqlx::query_as::<_, RawKey>($sql)$(.bind($value))+;
            let mut tx = dialect::begin(conn).await?;
            let changed = query.fetch_optional(&mut *tx).await?;
            if changed.is_some() {
                audit::append(&mut tx, $at, $entry).await?;
            }
            tx.commit().await?;
            Ok(changed)
        })?;
        row.map(NamedKey::try_from).transpose()
    }};
}

impl Store {
    /// Returns all keys, including revoked ones, in the order of their creation. A row that cannot be read is
    /// an error in the list, so that it does not hide the others.
    pub async fn keys(&self) -> Result<Vec<Result<NamedKey, StoreError>>, StoreError> {
        const SQL: &str =
            concat!("select ", key_columns!(), " from mlops_api_keys order by mlops_api_keys.created_at, id");
        let rows = on!(&self.read, READ_LIMIT, |conn| {
            let rows = sqlx::query(SQL).fetch_all(conn).await?;
            Ok(rows.iter().map(<RawKey as sqlx::FromRow<_>>::from_row).collect::<Vec<_>>())
        })?;
        Ok(rows.into_iter().map(|row| NamedKey::try_from(row?)).collect())
    }

    /// Returns the key `id`, if it exists.
    pub async fn key(&self, id: KeyId) -> Result<Option<NamedKey>, StoreError> {
        const SQL: &str = concat!("select ", key_columns!(), " from mlops_api_keys where id = $1");
        let row = on!(&self.read, LOOKUP_LIMIT, |conn| {
            sqlx::query_as::<_, RawKey>(SQL).bind(id.to_string()).fetch_optional(conn).await
        })?;
        row.map(NamedKey::try_from).transpose()
    }

    /// Stores a new key and, as all changes below, appends `entry` to the audit trail in the same
    /// transaction. Returns `false`, and stores nothing, if its parent is revoked.
    pub async fn add_key(
        &self,
        key: &NamedKey,
        at: DateTime<Utc>,
        entry: &Entry,
    ) -> Result<bool, StoreError> {
        const SQL: &str =
            "insert into mlops_api_keys (id, name, secret_hash, scopes, business_id, tier, created_at, expires_at, parent)
            select $1, $2, $3, $4, $5, $6, $7, $8, $9
            where $9 is null or exists (select 1 from mlops_api_keys where id = $9 and revoked_at is null)";
        on!(&self.admin, READ_LIMIT, |conn| {
            let query = sqlx::query(SQL).bind(key.id.to_string()).bind(&key.name);
            let query = query.bind(key.hash.0.to_vec()).bind(key.scopes.to_string());
            let query =
                query.bind(&key.business_id).bind(&key.tier).bind(key.created_at).bind(key.expires_at);
            let query = query.bind(key.parent.map(|parent| parent.to_string()));
            let mut tx = dialect::begin(conn).await?;
            // So that its parent is not revoked meanwhile.
            dialect::lock_audit(&mut *tx).await?;
            let is_added = query.execute(&mut *tx).await?.rows_affected() == 1;
            if is_added {
                audit::append(&mut tx, at, entry).await?;
            }
            tx.commit().await?;
            Ok(is_added)
        })
    }

    /// Replaces the secret of the key `id`; the previous one stays valid until `grace_ends`. Returns `None`
    /// if the key does not exist or is revoked.
    pub async fn replace_secret(
        &self,
        id: KeyId,
        hash: SecretHash,
        grace_ends: DateTime<Utc>,
        at: DateTime<Utc>,
        entry: &Entry,
    ) -> Result<Option<NamedKey>, StoreError> {
        const SQL: &str = concat!(
            "update mlops_api_keys set previous_hash = secret_hash, previous_until = $3, secret_hash = $2
             where id = $1 and revoked_at is null returning ",
            key_columns!()
        );
        change_key!(self, SQL, at, entry, id.to_string(), hash.0.to_vec(), grace_ends)
    }

    /// Makes the previous secret of the key `id` its only one again. Returns `None` if `hash` is not its secret any more, or if
    /// it is revoked.
    pub async fn restore_secret(
        &self,
        id: KeyId,
        hash: SecretHash,
        at: DateTime<Utc>,
        entry: &Entry,
    ) -> Result<Option<NamedKey>, StoreError> {
        const SQL: &str = concat!(
            "update mlops_api_keys set secret_hash = previous_hash, previous_hash = null, previous_until = null
             where id = $1 and secret_hash = $2 and previous_hash is not null and revoked_at is null returning ",
            key_columns!()
        );
        change_key!(self, SQL, at, entry, id.to_string(), hash.0.to_vec())
    }

    /// Revokes the key `id` permanently, and those that it and its children made, unless `keep_children` is set. `entry` returns the
    /// audit entry of each. Returns the keys that this call has revoked, the parent first.
    pub async fn revoke_key(
        &self,
        id: KeyId,
        keep_children: bool,
        at: DateTime<Utc>,
        entry: impl Fn(&str) -> Entry + Send + Sync,
    ) -> Result<Vec<NamedKey>, StoreError> {
        const FAMILY: &str = "with recursive family (id, depth) as (
                select cast($1 as text), 0
                union select k.id, f.depth + 1 from mlops_api_keys k join family f on k.parent = f.id
                where not $2 and f.depth < 100
            ) select id from family group by id order by min(depth), id";
        const SQL: &str = concat!(
            "update mlops_api_keys set revoked_at = $2 where id = $1 and revoked_at is null returning ",
            key_columns!()
        );
        let rows = on!(&self.admin, READ_LIMIT, |conn| {
            let mut tx = dialect::begin(conn).await?;
            // So that no child is made meanwhile.
            dialect::lock_audit(&mut *tx).await?;
            let family = sqlx::query_scalar(FAMILY).bind(id.to_string()).bind(keep_children);
            let family: Vec<String> = family.fetch_all(&mut *tx).await?;
            let mut revoked = Vec::new();
            for member in &family {
                let revoke = sqlx::query_as::<_, RawKey>(SQL).bind(member).bind(at.trunc_subsecs(0));
                if let Some(row) = revoke.fetch_optional(&mut *tx).await? {
                    audit::append(&mut tx, at, &entry(member)).await?;
                    revoked.push(row);
                }
            }
            tx.commit().await?;
            Ok(revoked)
        })?;
        rows.into_iter().map(NamedKey::try_from).collect()
    }

    /// Records when keys were last used, in one transaction. A later recorded use is not overwritten. Callers
    /// must sort `uses` by key, so that replicas do not deadlock.
    pub async fn record_key_uses(&self, uses: &[(KeyId, DateTime<Utc>)]) -> Result<(), StoreError> {
        const SQL: &str = "update mlops_api_keys set last_used_at = $2
            where id = $1 and (last_used_at is null or last_used_at < $2)";
        on!(&self.admin, READ_LIMIT, |conn| {
            let mut tx = dialect::begin(conn).await?;
            for (id, at) in uses {
                sqlx::query(SQL).bind(id.to_string()).bind(at).execute(&mut *tx).await?;
            }
            tx.commit().await
        })
    }
}
