//! Turns `ai_metrics` over, while events are written, read, erased and deleted.
//!
//! 1. The new table is made beside the old one, and follows each statement on it in the same transaction (`follow.sql`).
//! 2. Older rows are copied in steps. A step locks its rows first, so that none changes between its reading and its copying, and
//!    skips those that followed already: a committed step leaves no row missing, doubled or stale, whenever it is cut off.
//! 3. Once both have the same rows, the new table takes the place of the old one, in one short transaction (`switch.sql`).

use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::error::DatabaseError;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::time::sleep;

use super::months::wanted;
use crate::store::connection::lease::Taken;
use crate::store::{Db, Store, StoreError};

/// How long to wait for a lock on the table. Those who write to it wait behind.
const LOCK_LIMIT: &str = "400ms";

/// How often a lock is waited for, with a pause in between.
const LOCK_ATTEMPTS: u32 = 150;
const LOCK_PAUSE: Duration = Duration::from_millis(600);

/// The largest and the smallest number of rows that are copied in one transaction.
const STEPS: (i64, i64) = (10_000, 100);

/// How long a step should take: an erasure may have to wait for it.
const STEP_TARGET: Duration = Duration::from_millis(150);

/// Rows from further back stay in the default partition.
const BACK: &str = "10 years";

/// The state of a turnover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turnover {
    /// `ai_metrics` is a plain table.
    NotBegun,
    /// Rows are being copied, or were when it was cut off.
    Begun,
    /// `ai_metrics` is partitioned.
    Done,
}

/// What a turnover will have to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlook {
    /// The number of rows, by the statistics of the server.
    pub rows: i64,
    /// How many bytes the table and its indexes take. The new ones take about as much, beside them.
    pub bytes: i64,
}

/// How many rows were copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// So far.
    pub rows: i64,
    /// In all, when it began.
    pub of_rows: i64,
    /// Whether none is left.
    pub is_done: bool,
}

/// The right to turn the table over, and the session that does. Only one process has it.
#[derive(Debug)]
pub struct Partitioning {
    conn: Box<PgConnection>,
    step: i64,
}

impl Store {
    /// Takes the right to turn the table over.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unusable`] on SQLite, behind a pooler, and while another process has it.
    pub async fn partitioning(&self) -> Result<Partitioning, StoreError> {
        const LOCK: &str =
            "select pg_try_advisory_lock(hashtext('mlops_partition'), hashtext(current_schema()))";
        let unusable = |why: &str| Err(StoreError::Unusable(why.to_owned()));
        let Db::Postgres(db) = &self.admin else {
            return unusable("SQLite has no partitions; move to Postgres first");
        };
        let mut lease = db.lease().await?;
        if lease.is_transaction() {
            return unusable(
                "a pooler in transaction mode keeps no session, which this needs: set MIGRATION_DATABASE_URL to the direct \
                 host and port of the server",
            );
        }
        if !sqlx::query_scalar::<_, bool>(LOCK).fetch_one(lease.connection()).await? {
            return unusable("another process is at it");
        }
        let Taken::Session(mut conn) = lease.take() else { return unusable("the session is gone") };
        let settings = format!("set statement_timeout = 0; set lock_timeout = '{LOCK_LIMIT}'");
        conn.execute(AssertSqlSafe(settings)).await?;
        Ok(Partitioning { conn, step: STEPS.1 * 10 })
    }
}

impl Partitioning {
    /// Returns how far the turnover is.
    pub async fn state(&mut self) -> Result<Turnover, StoreError> {
        const STATE: &str = "select coalesce((select relkind = 'p' from pg_class where oid = to_regclass('ai_metrics')), false),
            to_regclass('mlops_partition_copy') is not null";
        let (is_partitioned, is_begun): (bool, bool) =
            sqlx::query_as(STATE).fetch_one(&mut *self.conn).await?;
        Ok(match (is_partitioned, is_begun) {
            (true, _) => Turnover::Done,
            (false, true) => Turnover::Begun,
            (false, false) => Turnover::NotBegun,
        })
    }

    /// Returns all reasons for which the table cannot be turned over, each with what to do.
    pub async fn refusals(&mut self) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar(include_str!("refusals.sql")).fetch_all(&mut *self.conn).await?)
    }

    /// Returns what there is to do.
    pub async fn outlook(&mut self) -> Result<Outlook, StoreError> {
        const OUTLOOK: &str = "select cast(greatest(reltuples, 0) as bigint), pg_total_relation_size(oid)
            from pg_class where oid = to_regclass('ai_metrics')";
        let (rows, bytes) = sqlx::query_as(OUTLOOK).fetch_one(&mut *self.conn).await?;
        Ok(Outlook { rows, bytes })
    }

    /// Makes the new table with a partition for each month that has rows, the current one and the next twelve, and has it follow the
    /// old one. Goes on where an earlier call was cut off.
    pub async fn begin(&mut self, now: DateTime<Utc>) -> Result<(), StoreError> {
        const FOLLOWS: &str = "select last is not null from mlops_partition_copy";
        if self.state().await? == Turnover::NotBegun {
            let mut tx = self.conn.begin().await?;
            tx.execute(include_str!("build.sql")).await?;
            add_months(&mut tx, "ai_metrics", now).await?;
            tx.commit().await?;
        }
        if !sqlx::query_scalar::<_, bool>(FOLLOWS).fetch_one(&mut *self.conn).await? {
            self.with_lock(include_str!("follow.sql")).await?;
        }
        Ok(())
    }

    /// Copies some more rows, and waits as long as that took.
    pub async fn copy_some(&mut self) -> Result<Copied, StoreError> {
        let mut refused = 0;
        loop {
            let begun = Instant::now();
            match self.copy_step().await {
                Ok(copied) => {
                    let took = begun.elapsed();
                    let factor = if took > STEP_TARGET { self.step / 2 } else { self.step * 2 };
                    self.step = factor.clamp(STEPS.1, STEPS.0);
                    sleep(took.min(STEP_TARGET * 4)).await;
                    return Ok(copied);
                }
                Err(error) if is_locked(&error) && refused < LOCK_ATTEMPTS => {
                    refused += 1;
                    self.step = (self.step / 2).max(STEPS.1);
                    sleep(LOCK_PAUSE / 4).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn copy_step(&mut self) -> Result<Copied, sqlx::Error> {
        // Without waiting, so that nobody can wait for this in a circle.
        const LOCK: &str = "select cast(max(id) as bigint) from (
                select id from ai_metrics where id > $1 and id <= $2 order by id limit $3 for no key update nowait) locked";
        const REACH: &str = "update mlops_partition_copy set copied = $1, rows = rows + $2 returning rows";
        let mut tx = self.conn.begin().await?;
        let (from, last, rows, of_rows): (i64, i64, i64, i64) =
            sqlx::query_as("select copied, last, rows, of_rows from mlops_partition_copy")
                .fetch_one(&mut *tx)
                .await?;
        let to: Option<i64> =
            sqlx::query_scalar(LOCK).bind(from).bind(last).bind(self.step).fetch_one(&mut *tx).await?;
        let Some(to) = to else { return Ok(Copied { rows, of_rows, is_done: true }) };
        let columns: String = sqlx::query_scalar(COLUMNS).fetch_one(&mut *tx).await?;
        let copy = format!(
            "insert into ai_metrics_by_month ({columns}) select {columns} from ai_metrics o
             where id > $1 and id <= $2 and not exists (select from ai_metrics_by_month m where m.id = o.id)"
        );
        let copied =
            sqlx::query(AssertSqlSafe(copy)).bind(from).bind(to).execute(&mut *tx).await?.rows_affected();
        let rows: i64 =
            sqlx::query_scalar(REACH).bind(to).bind(copied.cast_signed()).fetch_one(&mut *tx).await?;
        tx.commit().await?;
        Ok(Copied { rows, of_rows, is_done: to >= last })
    }

    /// Compares both tables, and gathers statistics of the new one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unusable`] if they differ: the table was altered in between.
    pub async fn verify(&mut self) -> Result<(), StoreError> {
        // Of one moment, since it is one statement.
        const SAME: &str = "select (select (count(*), count(event_id), coalesce(sum(id), 0)) from ai_metrics)
            = (select (count(*), count(event_id), coalesce(sum(id), 0)) from ai_metrics_by_month)
            and (select count(event_id) from ai_metrics) = (select count(*) from mlops_event_ids)";
        const ALIKE: &str = "select not exists (
                select attname, atttypid, atttypmod, attnotnull from pg_attribute where attrelid = to_regclass('ai_metrics') and attnum > 0 and not attisdropped
                except select attname, atttypid, atttypmod, attnotnull from pg_attribute where attrelid = to_regclass('ai_metrics_by_month') and attnum > 0)
            and not exists (
                select from pg_index join pg_class i on i.oid = indexrelid where indrelid = to_regclass('ai_metrics') and indisvalid
                and i.relname <> 'ai_metrics_business_event' and to_regclass('mlops_new_' || indexrelid) is null)";
        let altered = || {
            let what = "ai_metrics was altered while it was copied: run mlops-service partition --cancel, and begin again";
            Err(StoreError::Unusable(what.to_owned()))
        };
        if !sqlx::query_scalar::<_, bool>(ALIKE).fetch_one(&mut *self.conn).await?
            || !sqlx::query_scalar::<_, bool>(SAME).fetch_one(&mut *self.conn).await?
        {
            return altered();
        }
        // Plans that are made without them would not suit the new table.
        Ok(self.conn.execute("analyze ai_metrics_by_month; analyze mlops_event_ids").await.map(drop)?)
    }

    /// Puts the new table in the place of the old one.
    pub async fn switch(&mut self) -> Result<(), StoreError> {
        self.with_lock(include_str!("switch.sql")).await
    }

    /// Removes what a turnover that was not completed has made. `ai_metrics` stays as it is.
    pub async fn cancel(&mut self) -> Result<(), StoreError> {
        self.with_lock(include_str!("cancel.sql")).await
    }

    /// Makes missing months of the partitioned table, also those of rows in the default partition, which move. Returns how many.
    pub async fn add_months(&mut self, now: DateTime<Utc>) -> Result<usize, StoreError> {
        Ok(add_months(&mut self.conn, "ai_metrics_default", now).await?)
    }

    /// Runs statements that need a lock on the table, in one transaction.
    async fn with_lock(&mut self, statements: &'static str) -> Result<(), StoreError> {
        let mut attempt = 0;
        loop {
            let mut tx = self.conn.begin().await?;
            let done = tx.execute(statements).await;
            match done {
                Ok(_) => return Ok(tx.commit().await?),
                Err(error) if is_locked(&error) && attempt < LOCK_ATTEMPTS => tx.rollback().await?,
                Err(error) => return Err(error.into()),
            }
            attempt += 1;
            sleep(LOCK_PAUSE).await;
        }
    }
}

/// Selects the columns that rows are copied with.
const COLUMNS: &str = "select string_agg(quote_ident(attname), ', ' order by attnum) from pg_attribute
    where attrelid = to_regclass('ai_metrics') and attnum > 0 and not attisdropped and attgenerated = ''";

/// Makes the months of the rows of `table`, the current one and those ahead. Returns how many it made.
async fn add_months(conn: &mut PgConnection, table: &str, now: DateTime<Utc>) -> Result<usize, sqlx::Error> {
    let (current, months) = (wanted(now).next(), wanted(now));
    let of_rows = format!(
        "select distinct cast(date_trunc('month', created_at) as date) from {table}
         where created_at >= $1 - interval '{BACK}' and created_at < $1 order by 1"
    );
    let past: Vec<NaiveDate> =
        sqlx::query_scalar(AssertSqlSafe(of_rows)).bind(current).fetch_all(&mut *conn).await?;
    let mut made = 0;
    for month in past.into_iter().chain(months) {
        let is_new: bool =
            sqlx::query_scalar("select mlops_add_event_month($1)").bind(month).fetch_one(&mut *conn).await?;
        made += usize::from(is_new);
    }
    Ok(made)
}

/// Returns whether another session has a lock, or both waited for each other.
fn is_locked(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    matches!(code.as_deref(), Some("55P03" | "40P01"))
}
