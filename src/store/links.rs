//! Links that open a page without signing in.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use uuid::Uuid;

use super::{LOOKUP_LIMIT, READ_LIMIT, Store, StoreError, audit, dialect};
use crate::audit::{Action, Actor, Entry};
use crate::auth::key::SecretHash;
use crate::clock::timestamp;
use crate::link::Link;

/// How long a link stays listed after it has expired. The audit trail tells of it for longer.
const LISTED_AFTER: TimeDelta = TimeDelta::days(90);

/// The columns of [`RawLink`].
macro_rules! link_columns {
    () => {
        "id, business_id, page, month, created_at, expires_at, revoked_at, created_by"
    };
}

/// A row of `mlops_links` as the database returns it.
struct RawLink {
    id: Uuid,
    business_id: String,
    page: String,
    month: Option<String>,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    revoked_at: Option<DateTime<Utc>>,
    created_by: String,
}

from_row!(RawLink { id, business_id, page, month, created_at, expires_at, revoked_at, created_by });

impl TryFrom<RawLink> for Link {
    type Error = StoreError;

    fn try_from(row: RawLink) -> Result<Self, StoreError> {
        let unreadable = |column: &str| StoreError::Unreadable(format!("mlops_links.{column}"));
        let month = row.month.map(|month| month.parse().map_err(|_: _| unreadable("month")));
        Ok(Self {
            id: row.id,
            business_id: row.business_id,
            page: row.page.parse().map_err(|_: _| unreadable("page"))?,
            month: month.transpose()?,
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            created_by: row.created_by,
        })
    }
}

impl Store {
    /// Stores a new link by the hash of its secret, records it in the audit trail in the same transaction, and deletes links that
    /// expired long ago.
    pub async fn add_link(
        &self,
        link: &Link,
        secret: &SecretHash,
        at: DateTime<Utc>,
        by: &Actor,
    ) -> Result<(), StoreError> {
        const PURGE: &str = "delete from mlops_links where expires_at <= $1";
        const ADD: &str = "insert into mlops_links
            (id, secret_hash, business_id, page, month, created_at, expires_at, created_by)
            values ($1, $2, $3, $4, $5, $6, $7, $8)";
        let entry = entry(Action::LinkCreated, link, by).with("expires_at", timestamp(link.expires_at));
        on!(&self.admin, READ_LIMIT, |conn| {
            let mut tx = dialect::begin(conn).await?;
            sqlx::query(PURGE).bind(link.created_at - LISTED_AFTER).execute(&mut *tx).await?;
            let add = sqlx::query(ADD).bind(link.id).bind(secret.0.to_vec()).bind(&link.business_id);
            let add = add.bind(link.page.name()).bind(link.month.map(|month| month.to_string()));
            let add = add.bind(link.created_at).bind(link.expires_at).bind(&link.created_by);
            add.execute(&mut *tx).await?;
            audit::append(&mut tx, at, &entry).await?;
            tx.commit().await
        })
    }

    /// Returns the link with this hash of its secret, whether it works or not.
    pub async fn linked(&self, secret: &SecretHash) -> Result<Option<Link>, StoreError> {
        const SQL: &str = concat!("select ", link_columns!(), " from mlops_links where secret_hash = $1");
        let row = on!(&self.read, LOOKUP_LIMIT, |conn| {
            sqlx::query_as::<_, RawLink>(SQL).bind(secret.0.to_vec()).fetch_optional(conn).await
        })?;
        row.map(Link::try_from).transpose()
    }

    /// Returns links of a business, or of all, the newest first: those made before the link `before`, at most `limit`.
    pub async fn links(
        &self,
        business: Option<&str>,
        before: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<Link>, StoreError> {
        const SQL: &str = concat!(
            "select ",
            link_columns!(),
            " from mlops_links where ($1 is null or business_id = $1) and ($2 is null or id < $2)
             order by id desc limit $3"
        );
        let rows = on!(&self.read, READ_LIMIT, |conn| {
            let query = sqlx::query_as::<_, RawLink>(SQL).bind(business).bind(before);
            query.bind(i64::from(limit)).fetch_all(conn).await
        })?;
        rows.into_iter().map(Link::try_from).collect()
    }

    /// Revokes the link `id`, if it is of `business` or that is `None`, and records it in the audit trail in the same transaction.
    /// Returns `None` if there is no such link. Revoking one again changes nothing.
    pub async fn revoke_link(
        &self,
        id: Uuid,
        business: Option<&str>,
        at: DateTime<Utc>,
        by: &Actor,
    ) -> Result<Option<Link>, StoreError> {
        const READ: &str = concat!(
            "select ",
            link_columns!(),
            " from mlops_links where id = $1 and ($2 is null or business_id = $2)"
        );
        const REVOKE: &str = "update mlops_links set revoked_at = $2 where id = $1 and revoked_at is null";
        let revoked = at.trunc_subsecs(0);
        on!(&self.admin, READ_LIMIT, |conn| {
            let mut tx = dialect::begin(conn).await?;
            let is_new = sqlx::query(REVOKE).bind(id).bind(revoked).execute(&mut *tx).await?.rows_affected();
            let found = sqlx::query_as::<_, RawLink>(READ).bind(id).bind(business);
            let found = found.fetch_optional(&mut *tx).await?.map(Link::try_from);
            let Some(Ok(link)) = &found else { return Ok(found) };
            if is_new > 0 {
                audit::append(&mut tx, at, &entry(Action::LinkRevoked, link, by)).await?;
            }
            tx.commit().await?;
            Ok(found)
        })?
        .transpose()
    }
}

/// Returns the audit entry for a link.
fn entry(action: Action, link: &Link, by: &Actor) -> Entry {
    by.entry(action)
        .with("link", link.id.to_string())
        .with("business_id", link.business_id.clone())
        .with("page", link.page.name())
        .with("month", link.month.map(|month| month.to_string()))
}
