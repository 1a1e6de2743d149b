//! The rollup tables: adding to them, and reading the totals.

pub(in crate::store) mod analytics;
pub(in crate::store) mod columns;
mod labels;
mod merge;
pub(in crate::store) mod pending;
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

/// How long reading the totals may take; there are as many rows as keys.
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
    /// Passes all totals to `each`, as they are when `begun` is called, whatever is written afterwards. A key may come more
    /// than once. `begun` gets the number of the newest pending row, 0 if there is none. The pending rows of `counted` are
    /// not read: their sums are known.
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
