//! Adds rollups to their three tables on SQLite.

use std::iter::once;
use std::sync::LazyLock;

use sqlx::SqliteConnection;
use strum::VariantArray;

use super::columns::{ADD_TO_LATENCY, add_to_daily, add_to_totals, sum_columns, totals_columns};
use crate::rollup::{Key, Rollup, Sum, Sums};
use crate::store::bulk_insert::{BulkInsert, SqliteQuery};

/// A connection that can add rollups, inside a transaction.
pub(in crate::store) trait AddRollup {
    /// Adds `rollup`. Returns the sequence numbers of its pending rows; none on SQLite.
    async fn add_rollup(&mut self, rollup: &Rollup) -> Result<Vec<i64>, sqlx::Error>;
}

static DAILY: LazyLock<BulkInsert> = LazyLock::new(|| {
    let columns = Key::COLUMNS.into_iter().chain(sum_columns()).chain(once("day"));
    BulkInsert::new("ai_rollup_daily", columns.map(|column| (column, "?")), &add_to_daily())
});

static TOTALS: LazyLock<BulkInsert> = LazyLock::new(|| {
    BulkInsert::new("ai_totals", totals_columns().map(|column| (column, "?")), &add_to_totals())
});

static LATENCY: LazyLock<BulkInsert> = LazyLock::new(|| {
    let columns = ["day", "business_id", "bucket", "events"];
    BulkInsert::new("ai_latency_daily", columns.map(|column| (column, "?")), ADD_TO_LATENCY)
});

/// Binds a key and its sums.
fn bind<'q>(query: SqliteQuery<'q>, key: &'q Key, sums: &Sums) -> SqliteQuery<'q> {
    let query = key.parts().into_iter().fold(query, SqliteQuery::bind);
    Sum::VARIANTS.iter().fold(query, |query, sum| query.bind(sums[*sum]))
}

impl AddRollup for SqliteConnection {
    async fn add_rollup(&mut self, rollup: &Rollup) -> Result<Vec<i64>, sqlx::Error> {
        let daily: Vec<_> = rollup.daily.iter().collect();
        DAILY.run(self, &daily, |query, ((day, key), sums)| bind(query, key, sums).bind(day)).await?;
        let totals: Vec<_> = rollup.totals().into_iter().collect();
        TOTALS
            .run(self, &totals, |query, (key, sums)| {
                let (at, rate) = sums.last_success.map(|last| (last.at_micros, last.rate)).unzip();
                bind(query, key, sums).bind(at).bind(rate)
            })
            .await?;
        let latency: Vec<_> = rollup.latency.iter().collect();
        LATENCY
            .run(self, &latency, |query, ((day, business_id, bucket), events)| {
                query.bind(day).bind(business_id).bind(bucket).bind(*events)
            })
            .await?;
        Ok(Vec::new())
    }
}
