//! Merges pending rollups: adds their sums to the rollup tables and deletes their rows.
//!
//! A process merges the rollups that it has counted itself from memory ([`Store::merge_rollup`]), and leftovers of
//! other processes from their rows ([`Store::merge_leftover_rollups`]). What the former buys: reading its own rows back
//! takes a quarter of the CPU time of Postgres under load. It can go where that does not matter, because the latter
//! merges any row.
//!
//! Each statement does about a millisecond of work and is followed by an equally long pause: a single statement that
//! merged a whole second of load would keep a core of the database busy while events wait. The pauses can go on a
//! database with spare cores.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{Connection, PgConnection, Postgres};
use tokio::time::sleep;

use super::columns::{ADD_TO_LATENCY, add_to_daily, add_to_totals, daily_columns, list};
use super::columns::{pending_sums, sum_columns, totals_columns};
use super::pending::{Columns, CountedRollup, count};
use crate::rollup::{Key, Rollup};
use crate::store::placeholders::Placeholders;
use crate::store::{Db, Store, StoreError, WRITE_LIMIT};

/// The maximum numbers of rows, keys and latencies per statement, each about a millisecond of work.
const ROWS_TOGETHER: usize = 50;
const KEYS_TOGETHER: usize = 25;
const LATENCIES_TOGETHER: usize = 75;

/// The time limit of a merge, half of which is pauses.
const MERGE_LIMIT: Duration = Duration::from_secs(5);

/// Deletes pending rows.
const DELETE: &str = "delete from ai_rollup_pending where seq = any($1)";

/// Selects the oldest row, only to make Postgres mark the index entries of deleted rows before it as dead. Otherwise
/// every reader would have to visit these rows until the table is vacuumed: ten thousand of them cost 50 ms.
const PRUNE_INDEX: &str = "select min(seq) from ai_rollup_pending";

/// Adds sums to the rollup tables.
static MERGE_SUMS: LazyLock<String> = LazyLock::new(|| {
    let (columns, types): (Vec<&str>, Vec<&str>) = pending_sums().unzip();
    let arrays = Placeholders::default().typed(types.into_iter());
    let (columns, add) = (list(columns), add_sums());
    format!("with added as (select * from unnest({arrays}) as keys({columns})), {add} select")
});

/// Adds latencies to their table.
static MERGE_LATENCIES: LazyLock<String> = LazyLock::new(|| {
    add_latencies(
        "unnest($1::date[], $2::text[], $3::smallint[], $4::int[]) as latencies(day, business_id, bucket, events)",
    )
});

/// Merges the oldest rows. Large arrays are stored outside of the row (TOAST), and every subscript would fetch them
/// again. Concatenation with an empty array copies them, so that they are fetched once.
static MERGE_ROWS: LazyLock<String> = LazyLock::new(|| {
    let columns = list(pending_sums().map(|(column, _)| column));
    let (add_latencies, add_sums) = (add_latencies("latencies"), add_sums());
    format!(
        "with moved as (
            delete from ai_rollup_pending where seq in (
                select seq from ai_rollup_pending where seq <= $1 order by seq limit $2 for update skip locked)
            returning *
        ), added as (
            select a.* from moved, unnest({columns}) as a({columns})
        ), latencies as (
            select whole.day[l.key] as day, whole.business_id[l.key] as business_id, l.bucket, l.events
            from moved m
            cross join lateral (select m.day || '{{}}' as day, m.business_id || '{{}}' as business_id offset 0) whole
            cross join lateral unnest(m.latency_key, m.latency_bucket, m.latency_events) as l(key, bucket, events)
        ), latency as ({add_latencies}), {add_sums} select count(*) from moved"
    )
});

/// Returns the common table expressions that add the rows of `added` to the tables of sums, in the order of their keys,
/// so that replicas do not deadlock.
fn add_sums() -> String {
    let (daily, totals) = (list(daily_columns()), list(totals_columns()));
    let key = list(Key::COLUMNS);
    let sums = list(sum_columns().map(|column| format!("sum({column})")));
    let (add_to_daily, add_to_totals) = (add_to_daily(), add_to_totals());
    format!(
        "daily as (
            insert into ai_rollup_daily ({daily}) select {key}, day, {sums}
            from added group by business_id, day, model_name, intent_detected, response_type
            order by business_id, day, model_name, intent_detected, response_type {add_to_daily}
        ), totals as (
            insert into ai_totals ({totals}) select {key}, {sums}, max(last_success_at),
                (array_agg(last_success_rate order by last_success_at desc) filter (where last_success_at is not null))[1]
            from added group by {key} order by {key} {add_to_totals}
        )"
    )
}

/// Returns a statement that adds the rows of `latencies` to their table, also in the order of their keys.
fn add_latencies(latencies: &str) -> String {
    format!(
        "insert into ai_latency_daily (day, business_id, bucket, events)
        select day, business_id, bucket, sum(events) from {latencies}
        group by business_id, day, bucket order by business_id, day, bucket {ADD_TO_LATENCY}"
    )
}

impl Store {
    /// Merges a rollup that this process has counted. Returns `false`, and changes nothing, if another process has
    /// merged some of its rows; then [`Self::merge_leftover_rollups`] merges the rest.
    pub async fn merge_rollup(&self, counted: &CountedRollup) -> Result<bool, StoreError> {
        let Db::Postgres(db) = &self.admin else { return Ok(true) };
        on!(@run db, MERGE_LIMIT, conn, {
            sqlx::query(PRUNE_INDEX).execute(&mut *conn).await?;
            let mut tx = conn.begin().await?;
            if !delete_rows(&mut tx, &counted.pending).await? {
                tx.rollback().await?;
                return Ok(false);
            }
            merge_sums(&mut tx, &counted.rollup).await?;
            merge_latencies(&mut tx, &counted.rollup).await?;
            tx.commit().await.map(|()| true)
        })
    }

    /// Merges at most `most` pending rows up to the sequence number `newest`, whichever process counted them. Returns
    /// whether more may be left. Replicas may call this concurrently.
    pub async fn merge_leftover_rollups(&self, newest: i64, most: i64) -> Result<bool, StoreError> {
        let Db::Postgres(db) = &self.admin else { return Ok(false) };
        let merged: i64 = on!(@run db, WRITE_LIMIT, conn, {
            sqlx::query_scalar(MERGE_ROWS.as_str()).bind(newest).bind(most).fetch_one(conn).await
        })?;
        Ok(merged == most)
    }
}

/// Deletes pending rows. Returns whether all of them existed.
async fn delete_rows(conn: &mut PgConnection, rows: &[i64]) -> Result<bool, sqlx::Error> {
    for part in rows.chunks(ROWS_TOGETHER) {
        if run_and_pause(conn, sqlx::query(DELETE).bind(part)).await? < part.len() as u64 {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn merge_sums(conn: &mut PgConnection, rollup: &Rollup) -> Result<(), sqlx::Error> {
    for part in Columns::of(rollup).parts(KEYS_TOGETHER) {
        run_and_pause(conn, part.bind_sums(part.bind_keys(sqlx::query(MERGE_SUMS.as_str())))).await?;
    }
    Ok(())
}

async fn merge_latencies(conn: &mut PgConnection, rollup: &Rollup) -> Result<(), sqlx::Error> {
    let mut latencies: Vec<_> = rollup.latency.iter().collect();
    latencies.sort_by_key(|((day, business_id, bucket), _)| (business_id, day, bucket));
    for part in latencies.chunks(LATENCIES_TOGETHER) {
        let query = sqlx::query(MERGE_LATENCIES.as_str())
            .bind(part.iter().map(|((day, ..), _)| *day).collect::<Vec<_>>())
            .bind(part.iter().map(|((_, business_id, _), _)| business_id.as_str()).collect::<Vec<_>>())
            .bind(part.iter().map(|((.., bucket), _)| *bucket).collect::<Vec<_>>())
            .bind(part.iter().map(|(_, events)| count(**events)).collect::<Vec<_>>());
        run_and_pause(conn, query).await?;
    }
    Ok(())
}

/// Runs a statement and pauses for as long as it took. Returns the number of affected rows.
async fn run_and_pause(
    conn: &mut PgConnection,
    query: Query<'_, Postgres, PgArguments>,
) -> Result<u64, sqlx::Error> {
    let started = Instant::now();
    let done = query.execute(conn).await?;
    sleep(started.elapsed()).await;
    Ok(done.rows_affected())
}
