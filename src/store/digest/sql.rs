//! What differs between the databases when facts are read.

use std::sync::LazyLock;

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, FromRow, PgConnection, SqliteConnection};

use super::rows::PutRows;
use crate::store::dialect;
use crate::store::events::foreign::{ForeignRow, POSTGRES_VALUES, SQLITE_VALUES};

const BELOW: &str = "select cast(coalesce((select below from mlops_rebuild), 0) as bigint)";

/// A connection that reads and writes facts.
pub(in crate::store) trait FactsDialect: PutRows {
    /// A from item, `k`, with the columns `business_id` and `conversation_id` of the pairs in the JSON array `$1`.
    const KEYS: &'static str;

    /// Returns the rows of a query with one parameter, a JSON text.
    async fn rows<T>(&mut self, sql: String, json: String) -> Result<Vec<T>, sqlx::Error>
    where
        T: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin;

    /// Waits until no other transaction changes facts or their sums.
    async fn lock(&mut self) -> Result<(), sqlx::Error>;

    /// Returns the id of rows below which a rebuild will come to.
    async fn rebuilt_below(&mut self) -> Result<i64, sqlx::Error>;

    /// Takes the oldest batches that are to be digested, of about `events` events together. Returns the ids of their rows.
    async fn take_undigested(&mut self, events: i64, batches: i64) -> Result<Vec<i64>, sqlx::Error>;

    /// Returns the rows with these ids that exist, without those that a rebuild will come to.
    async fn events_of(&mut self, ids: &[i64]) -> Result<Vec<ForeignRow>, sqlx::Error>;

    /// Runs a statement with one parameter, a JSON text. Returns the number of affected rows.
    async fn run_json(&mut self, sql: String, json: String) -> Result<u64, sqlx::Error>;
}

/// Returns the statement that deletes the oldest batches, of about `$1` events together and at most `$2`, and returns the ids of their rows.
fn take(length: &str) -> String {
    format!(
        "delete from mlops_undigested where seq in (
            select seq from (
                select seq, sum({length}) over (order by seq) - {length} as before
                from (select * from mlops_undigested order by seq limit $2) oldest) due
            where before < $1)
        returning event_rows"
    )
}

static POSTGRES_TAKE: LazyLock<String> = LazyLock::new(|| take("cardinality(event_rows)"));

static SQLITE_TAKE: LazyLock<String> = LazyLock::new(|| take("json_array_length(event_rows)"));

/// Returns the query for the rows that satisfy `condition`.
fn rows_of(values: &str, condition: &str) -> String {
    format!(
        "select {values} from ai_metrics where {condition} and id >= coalesce((select below from mlops_rebuild), 0)"
    )
}

static POSTGRES_ROWS: LazyLock<String> = LazyLock::new(|| rows_of(&POSTGRES_VALUES, "id = any($1)"));

static SQLITE_ROWS: LazyLock<String> =
    LazyLock::new(|| rows_of(&SQLITE_VALUES, "id in (select value from json_each($1))"));

/// What is alike on both databases, but for the driver.
macro_rules! alike {
    () => {
        async fn rows<T>(&mut self, sql: String, json: String) -> Result<Vec<T>, sqlx::Error>
        where
            T: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
        {
            sqlx::query_as(AssertSqlSafe(sql)).bind(json).fetch_all(self).await
        }

        async fn lock(&mut self) -> Result<(), sqlx::Error> {
            dialect::lock_digest(self).await
        }

        async fn rebuilt_below(&mut self) -> Result<i64, sqlx::Error> {
            sqlx::query_scalar(BELOW).fetch_one(self).await
        }

        async fn run_json(&mut self, sql: String, json: String) -> Result<u64, sqlx::Error> {
            Ok(sqlx::query(AssertSqlSafe(sql)).bind(json).execute(self).await?.rows_affected())
        }
    };
}

impl FactsDialect for PgConnection {
    const KEYS: &'static str = "(select pair ->> 0 as business_id, pair ->> 1 as conversation_id
        from json_array_elements(cast($1 as json)) pair) k";

    alike! {}

    async fn take_undigested(&mut self, events: i64, batches: i64) -> Result<Vec<i64>, sqlx::Error> {
        let taken = sqlx::query_scalar(POSTGRES_TAKE.as_str()).bind(events).bind(batches);
        let taken: Vec<Vec<i64>> = taken.fetch_all(self).await?;
        Ok(taken.into_iter().flatten().collect())
    }

    async fn events_of(&mut self, ids: &[i64]) -> Result<Vec<ForeignRow>, sqlx::Error> {
        sqlx::query_as(POSTGRES_ROWS.as_str()).bind(ids).fetch_all(self).await
    }
}

impl FactsDialect for SqliteConnection {
    const KEYS: &'static str =
        "(select value ->> 0 as business_id, value ->> 1 as conversation_id from json_each($1)) k";

    alike! {}

    async fn take_undigested(&mut self, events: i64, batches: i64) -> Result<Vec<i64>, sqlx::Error> {
        let taken = sqlx::query_scalar(SQLITE_TAKE.as_str()).bind(events).bind(batches);
        let taken: Vec<String> = taken.fetch_all(self).await?;
        Ok(taken.iter().flat_map(|ids| serde_json::from_str::<Vec<i64>>(ids).unwrap_or_default()).collect())
    }

    async fn events_of(&mut self, ids: &[i64]) -> Result<Vec<ForeignRow>, sqlx::Error> {
        let ids = serde_json::to_string(ids).expect("integers become JSON");
        sqlx::query_as(SQLITE_ROWS.as_str()).bind(ids).fetch_all(self).await
    }
}
