//! The `ai_metrics` of another database, from which rows are imported.

use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};

use super::{Db, Store, StoreError, dialect};
use crate::config::PostgresUrl;

/// The time limit of reaching the server, and of looking at the table.
const REACH_LIMIT: Duration = Duration::from_secs(10);

/// The time limit of counting the rows.
const COUNT_LIMIT: Duration = Duration::from_mins(10);

/// The number of bytes that are passed on at a time.
const PART: usize = 64 * 1024;

/// Has a transaction read one state of the database, however long it takes, and write times in UTC and numbers in full.
const SETTINGS: &str = "set transaction isolation level repeatable read, read only;
    set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0; set local timezone = 'UTC';
    set local datestyle = 'ISO'; set local client_encoding = 'UTF8'";

/// The table, in a transaction that reads one state of it.
#[derive(Debug)]
pub struct SourceTable {
    conn: PgConnection,
    columns: Vec<String>,
}

impl SourceTable {
    /// Connects to the database and looks for the table. Of its columns those are read that `reads` says.
    ///
    /// # Errors
    ///
    /// `Unusable` if there is no such table, or the role may not read it.
    pub async fn open(url: &PostgresUrl, reads: impl Fn(&str) -> bool) -> Result<Self, StoreError> {
        const COLUMNS: &str = "select cast(attname as text) from pg_attribute
            where attrelid = to_regclass('ai_metrics') and attnum > 0 and not attisdropped order by attnum";
        let open = async {
            let mut conn = dialect::options(url)?.connect().await?;
            conn.execute("begin").await?;
            conn.execute(SETTINGS).await?;
            let columns: Vec<String> = sqlx::query_scalar(COLUMNS).fetch_all(&mut conn).await?;
            if columns.is_empty() {
                let what = format!("{} has no table ai_metrics in the search_path of its role", url.place);
                return Err(StoreError::Unusable(what));
            }
            Ok(Self { conn, columns: columns.into_iter().filter(|name| reads(name)).collect() })
        };
        tokio::time::timeout(REACH_LIMIT, open).await.unwrap_or(Err(StoreError::TimedOut))
    }

    /// Returns whether this is the table of `store`: a lock that one of them holds, the other one cannot have.
    pub async fn is_of(&mut self, store: &Store) -> Result<bool, StoreError> {
        const LOCK: &str = "select pg_advisory_xact_lock($1), cast(to_regclass('ai_metrics') as oid)::bigint";
        const TRY: &str = "select pg_try_advisory_xact_lock($1)";
        const TABLE: &str = "select cast(to_regclass('ai_metrics') as oid)::bigint";
        let Db::Postgres(db) = &store.admin else { return Ok(false) };
        let number =
            i64::from_le_bytes(uuid::Uuid::new_v4().into_bytes()[..8].try_into().unwrap_or_default());
        let other = &mut self.conn;
        on!(@run db, REACH_LIMIT, conn, {
            let mut tx = dialect::begin(conn).await?;
            let own: ((), i64) = sqlx::query_as(LOCK).bind(number).fetch_one(&mut *tx).await?;
            let is_other_database: bool = sqlx::query_scalar(TRY).bind(number).fetch_one(&mut *other).await?;
            let table: i64 = sqlx::query_scalar(TABLE).fetch_one(&mut *other).await?;
            Ok(!is_other_database && table == own.1)
        })
    }

    /// Returns the number of rows.
    pub async fn rows(&mut self) -> Result<u64, StoreError> {
        let count = sqlx::query_scalar("select count(*) from ai_metrics").fetch_one(&mut self.conn);
        let rows: i64 =
            tokio::time::timeout(COUNT_LIMIT, count).await.map_err(|_| StoreError::TimedOut)??;
        Ok(rows.unsigned_abs())
    }

    /// Passes all rows to `each` as CSV, whose first line names the columns. Ends when `each` returns `false`.
    pub async fn copy(mut self, mut each: impl AsyncFnMut(Vec<u8>) -> bool) -> Result<(), StoreError> {
        let columns: Vec<String> =
            self.columns.iter().map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect();
        let copy = format!("copy ai_metrics ({}) to stdout (format csv, header)", columns.join(", "));
        let mut rows = self.conn.copy_out_raw(&copy).await?;
        let mut part = Vec::with_capacity(PART);
        while let Some(row) = rows.try_next().await? {
            part.extend_from_slice(&row);
            if part.len() >= PART && !each(std::mem::replace(&mut part, Vec::with_capacity(PART))).await {
                return Ok(());
            }
        }
        drop(rows);
        each(part).await;
        drop(self.conn.close().await);
        Ok(())
    }
}
