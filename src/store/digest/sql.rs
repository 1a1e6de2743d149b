//! What differs between the databases when facts are read.

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, FromRow, PgConnection, SqliteConnection};

use super::rows::PutRows;
use crate::store::dialect;

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

    /// Runs a statement with one parameter, a JSON text. Returns the number of affected rows.
    async fn run_json(&mut self, sql: String, json: String) -> Result<u64, sqlx::Error>;
}

impl FactsDialect for PgConnection {
    const KEYS: &'static str = "(select pair ->> 0 as business_id, pair ->> 1 as conversation_id
        from json_array_elements(cast($1 as json)) pair) k";

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
}

impl FactsDialect for SqliteConnection {
    const KEYS: &'static str =
        "(select value ->> 0 as business_id, value ->> 1 as conversation_id from json_each($1)) k";

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
}
