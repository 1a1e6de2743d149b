//! Digests what batches on Postgres left to be digested.

use std::sync::LazyLock;
use std::time::Duration;

use sqlx::{Connection, PgConnection};

use super::{Appraisal, add};
use crate::event::Event;
use crate::store::events::foreign::{ForeignRow, POSTGRES_VALUES};
use crate::store::{Db, Store, StoreError, dialect};

/// The time limit of digesting some events.
const DIGEST_LIMIT: Duration = Duration::from_secs(8);

/// The number of events digested in one transaction, unless a batch has more.
const EVENTS: i64 = 8_000;

/// The number of batches digested in one transaction.
const BATCHES: i64 = 500;

const IS_PENDING: &str = "select exists (select from mlops_undigested)";

/// Takes the oldest batches, of about `$1` events together, and returns the ids of their rows.
const TAKE: &str = "delete from mlops_undigested where seq in (
        select seq from (
            select seq, sum(cardinality(event_rows)) over (order by seq) - cardinality(event_rows) as before
            from (select * from mlops_undigested order by seq limit $2) oldest) due
        where before < $1)
    returning event_rows";

/// Selects the events of rows. What a rebuild has not come to is left to it, and a row that is gone adds to answers alone.
static EVENTS_OF: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select {} from ai_metrics where id = any($1) and id >= coalesce((select below from mlops_rebuild), 0)",
        POSTGRES_VALUES.as_str()
    )
});

impl Store {
    /// Digests some of the events that are still to be digested. Returns whether more may be left.
    pub async fn digest_some(&self) -> Result<bool, StoreError> {
        let Db::Postgres(db) = &self.admin else { return Ok(false) };
        let profiles = self.profiles.current();
        let appraisal = self.appraisal(&profiles);
        on!(@run db, DIGEST_LIMIT, conn, digest_some(conn, appraisal).await)
    }

    /// Digests all events that were stored before, so that facts and sums tell of them.
    pub async fn digest_all(&self) -> Result<(), StoreError> {
        while self.digest_some().await? {}
        Ok(())
    }
}

async fn digest_some(conn: &mut PgConnection, appraisal: Appraisal<'_>) -> Result<bool, sqlx::Error> {
    if !sqlx::query_scalar(IS_PENDING).fetch_one(&mut *conn).await? {
        return Ok(false);
    }
    let mut tx = conn.begin().await?;
    // A digest that is lost is repeated.
    dialect::relax_commit(&mut *tx).await?;
    dialect::lock_digest(&mut *tx).await?;
    let taken: Vec<Vec<i64>> =
        sqlx::query_scalar(TAKE).bind(EVENTS).bind(BATCHES).fetch_all(&mut *tx).await?;
    let ids: Vec<i64> = taken.into_iter().flatten().collect();
    let rows: Vec<ForeignRow> = sqlx::query_as(EVENTS_OF.as_str()).bind(&ids).fetch_all(&mut *tx).await?;
    let events: Vec<Event> = rows.into_iter().map(ForeignRow::into_stored_event).collect();
    add(&mut *tx, appraisal.digest(&events)).await?;
    let more = sqlx::query_scalar(IS_PENDING).fetch_one(&mut *tx).await?;
    tx.commit().await?;
    Ok(more)
}
