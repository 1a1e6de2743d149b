//! The rollup tables: adding rollups, and reading the totals.

pub(in crate::store) mod analytics;
pub(in crate::store) mod columns;
mod merge;
pub(in crate::store) mod pending;
mod series;
mod sqlite;

pub(super) use sqlite::AddRollup;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;

use super::rollups::pending::ReadPending as _;
use super::{CountedRollup, Store, StoreError, dialect};
use crate::rollup::{Key, Sums};
use columns::{TotalsRow, list, totals_columns};

/// The time limit of reading the totals, which have one row per key.
const TOTALS_LIMIT: Duration = Duration::from_secs(10);

static TOTALS: LazyLock<String> =
    LazyLock::new(|| format!("select {} from ai_totals", list(totals_columns())));

/// Passes rows of totals to `each`.
async fn for_each_row(
    mut rows: BoxStream<'_, Result<TotalsRow, sqlx::Error>>,
    each: &mut impl FnMut(&Key, &Sums),
) -> Result<(), sqlx::Error> {
    while let Some(row) = rows.try_next().await? {
        each(&row.key, &row.sums);
    }
    Ok(())
}

impl Store {
    /// Passes all totals to `each`, as of a snapshot that exists when `begun` is called: later writes are not included.
    /// A key may be passed several times; its sums must be added up. `begun` gets the sequence number of the newest
    /// pending row, or 0 if there is none. The sums of those of `counted` that are still pending are taken from memory
    /// rather than read from the table.
    pub async fn totals(
        &self,
        counted: &[Arc<CountedRollup>],
        begun: impl FnOnce(i64),
        mut each: impl FnMut(&Key, &Sums),
    ) -> Result<(), StoreError> {
        on!(&self.read, TOTALS_LIMIT, |conn| {
            let mut tx = dialect::begin_snapshot(conn).await?;
            dialect::extend_timeout(&mut *tx).await?;
            begun(sqlx::query_scalar(dialect::newest_pending(&tx)).fetch_one(&mut *tx).await?);
            for_each_row(sqlx::query_as(TOTALS.as_str()).fetch(&mut *tx), &mut each).await?;
            tx.each_pending(counted, &mut each).await
        })
    }
}
