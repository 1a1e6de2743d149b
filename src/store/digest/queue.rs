//! Digests what batches left to be digested.

use std::time::Duration;

use super::add;
use super::sql::FactsDialect as _;
use crate::event::Event;
use crate::store::events::foreign::ForeignRow;
use crate::store::{READ_LIMIT, Store, StoreError, dialect};

/// The time limit of digesting some events.
const DIGEST_LIMIT: Duration = Duration::from_secs(8);

/// The number of events digested in one transaction, unless a batch has more. On SQLite events wait for it.
const EVENTS: i64 = 8_000;
const EVENTS_OF_FILE: i64 = 2_000;

/// The same of a process that gives way to others.
const EVENTS_GIVING_WAY: i64 = 250;

/// The number of batches digested in one transaction.
const BATCHES: i64 = 500;

/// Selects the newest batch that is still to be digested.
const NEWEST: &str = "select max(seq) from mlops_undigested";

const IS_PENDING: &str =
    "select count(*) from (select 1 as one from mlops_undigested where seq <= $1 limit 1) pending";

impl Store {
    /// Digests all events that were stored before, so that facts and sums tell of them.
    pub async fn digest_all(&self) -> Result<(), StoreError> {
        let newest: Option<i64> =
            on!(&self.read, READ_LIMIT, |conn| sqlx::query_scalar(NEWEST).fetch_one(conn).await)?;
        let Some(newest) = newest else { return Ok(()) };
        while self.digest_some(newest).await? {}
        Ok(())
    }

    /// Digests some of the events of batches up to `newest`. Returns whether more may be left.
    async fn digest_some(&self, newest: i64) -> Result<bool, StoreError> {
        let profiles = self.profiles.current();
        let appraisal = self.appraisal(&profiles);
        let most = match (self.is_file(), self.gives_way()) {
            (true, true) => EVENTS_GIVING_WAY,
            (true, false) => EVENTS_OF_FILE,
            (false, _) => EVENTS,
        };
        on!(&self.admin, DIGEST_LIMIT, |conn| {
            let mut tx = dialect::begin(conn).await?;
            // A digest that is lost is repeated.
            dialect::relax_commit(&mut *tx).await?;
            dialect::lock_digest(&mut *tx).await?;
            let ids = tx.take_undigested(most, BATCHES).await?;
            let rows = tx.events_of(&ids).await?;
            let events: Vec<Event> = rows.into_iter().map(ForeignRow::into_stored_event).collect();
            add(&mut *tx, appraisal.digest(&events)).await?;
            let more: i64 = sqlx::query_scalar(IS_PENDING).bind(newest).fetch_one(&mut *tx).await?;
            tx.commit().await?;
            Ok(more > 0)
        })
    }
}
