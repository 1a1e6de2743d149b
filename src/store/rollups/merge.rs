//! Merges pending rollups: what many rows add up to goes into the rollup tables, and the rows are deleted.

use std::time::{Duration, Instant};

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{Connection, PgConnection, Postgres};
use tokio::time::sleep;

use super::pending::{Columns, CountedRollup, added_columns, count};
use super::{add_to_daily, add_to_latency, add_to_totals, sum_columns};
use crate::rollup::Rollup;
use crate::store::{Db, Store, StoreError, WRITE_LIMIT};

/// The sums of rows of the same key.
macro_rules! summed {
    () => {
        "sum(events), sum(response_time_ms), sum(within_100ms), sum(within_500ms), sum(within_1s), sum(within_2s), \
         sum(within_5s), sum(within_10s), sum(success_e4), sum(tokens), sum(prompt_tokens), sum(completion_tokens), \
         sum(cost_micros), sum(appointments_requested), sum(appointments_booked), sum(handoffs)"
    };
}

/// The part of a statement that adds the rows of `added` to the tables of sums. They go in the order of their keys, so that
/// two replicas do not wait for each other in a circle.
macro_rules! add_up {
    () => {
        concat!(
            "daily as (
        insert into ai_rollup_daily (day, business_id, model_name, intent_detected, response_type, ",
            sum_columns!(),
            ") select day, business_id, model_name, intent_detected, response_type, ",
            summed!(),
            " from added group by business_id, day, model_name, intent_detected, response_type
        order by business_id, day, model_name, intent_detected, response_type",
            add_to_daily!(),
            "), totals as (
        insert into ai_totals (business_id, model_name, intent_detected, response_type, ",
            sum_columns!(),
            ", last_success_at, last_success_rate) select business_id, model_name, intent_detected, response_type, ",
            summed!(),
            ", max(last_success_at),
            (array_agg(last_success_rate order by last_success_at desc) filter (where last_success_at is not null))[1]
        from added group by business_id, model_name, intent_detected, response_type
        order by business_id, model_name, intent_detected, response_type",
            add_to_totals!(),
            ")"
        )
    };
}

/// A statement that adds the rows of `$latencies` to their table, in the order of their keys too.
macro_rules! add_latencies {
    ($latencies:expr) => {
        concat!(
            "insert into ai_latency_daily (day, business_id, bucket, events)
        select day, business_id, bucket, sum(events) from ",
            $latencies,
            " group by business_id, day, bucket order by business_id, day, bucket",
            add_to_latency!()
        )
    };
}

/// Takes some rows away whose sums are known.
const TAKE: &str = "delete from ai_rollup_pending where seq = any($1)";

/// Finds the oldest row. On its way there it has the index forget rows that were taken away before, which every reader would
/// pass otherwise until the table is vacuumed: ten thousand of them cost 50 ms.
const FORGET: &str = "select min(seq) from ai_rollup_pending";

/// Adds some of their sums.
const MERGE_SUMS: &str = concat!(
    "with added as (
        select * from unnest($5::date[], $1::text[], $2::text[], $3::text[], $4::text[], $6::int[], $7::bigint[], $8::int[],
            $9::int[], $10::int[], $11::int[], $12::int[], $13::int[], $14::bigint[], $15::bigint[], $16::bigint[],
            $17::bigint[], $18::bigint[], $19::int[], $20::int[], $21::int[], $22::bigint[], $23::float8[])
            as keys(",
    added_columns!(),
    ")
    ), ",
    add_up!(),
    " select"
);

/// Adds some of their latencies.
const MERGE_LATENCIES: &str = add_latencies!(
    "unnest($1::date[], $2::text[], $3::smallint[], $4::int[]) as latencies(day, business_id, bucket, events)"
);

/// Rows that one statement takes, and keys of sums and latencies that one adds: about a millisecond of work. In one statement,
/// what a busy second leaves would keep a core of the database busy for longer than events should have to wait.
const ROWS_TOGETHER: usize = 50;
const KEYS_TOGETHER: usize = 25;
const LATENCIES_TOGETHER: usize = 75;

/// How long a merge may take, most of which is rest.
const MERGE_LIMIT: Duration = Duration::from_secs(5);

/// Moves rows over whose sums nobody knows any more. Large arrays lie beside their row, and each subscript would fetch them
/// again: joined to nothing they are fetched once.
const MOVE: &str = concat!(
    "with moved as (
        delete from ai_rollup_pending where seq in (
            select seq from ai_rollup_pending where seq <= $1 order by seq limit $2 for update skip locked)
        returning *
    ), added as (
        select a.* from moved, unnest(",
    added_columns!(),
    ") as a(",
    added_columns!(),
    ")
    ), latencies as (
        select whole.day[l.key] as day, whole.business_id[l.key] as business_id, l.bucket, l.events
        from moved m
        cross join lateral (select m.day || '{}' as day, m.business_id || '{}' as business_id offset 0) whole
        cross join lateral unnest(m.latency_key, m.latency_bucket, m.latency_events) as l(key, bucket, events)
    ), latency as (",
    add_latencies!("latencies"),
    "), ",
    add_up!(),
    " select count(*) from moved"
);

impl Store {
    /// Merges what was counted, at half speed. Returns whether it could: where somebody else has merged some of the rows already,
    /// it changes nothing, and [`Self::merge_leftover_rollups`] merges what is left.
    pub async fn merge_rollup(&self, counted: &CountedRollup) -> Result<bool, StoreError> {
        let Db::Postgres(db) = &self.admin else { return Ok(true) };
        on!(@run db, MERGE_LIMIT, conn, {
            sqlx::query(FORGET).execute(&mut *conn).await?;
            let mut tx = conn.begin().await?;
            if !take_rows(&mut tx, &counted.pending).await? {
                tx.rollback().await?;
                return Ok(false);
            }
            merge_sums(&mut tx, &counted.rollup).await?;
            merge_latencies(&mut tx, &counted.rollup).await?;
            tx.commit().await.map(|()| true)
        })
    }

    /// Merges pending rollups up to the row `newest`, whoever counted them, of at most `most` batches. Returns whether more may
    /// be left. Several replicas may do so at the same time.
    pub async fn merge_leftover_rollups(&self, newest: i64, most: i64) -> Result<bool, StoreError> {
        let Db::Postgres(db) = &self.admin else { return Ok(false) };
        let moved: i64 = on!(@run db, WRITE_LIMIT, conn, {
            sqlx::query_scalar(MOVE).bind(newest).bind(most).fetch_one(conn).await
        })?;
        Ok(moved == most)
    }
}

/// Says whether all of them were there.
async fn take_rows(conn: &mut PgConnection, rows: &[i64]) -> Result<bool, sqlx::Error> {
    for some in rows.chunks(ROWS_TOGETHER) {
        if run_gently(conn, sqlx::query(TAKE).bind(some)).await? < some.len() as u64 {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn merge_sums(conn: &mut PgConnection, rollup: &Rollup) -> Result<(), sqlx::Error> {
    for some in Columns::of(rollup).parts(KEYS_TOGETHER) {
        run_gently(conn, some.bind_sums(some.bind_keys(sqlx::query(MERGE_SUMS)))).await?;
    }
    Ok(())
}

async fn merge_latencies(conn: &mut PgConnection, rollup: &Rollup) -> Result<(), sqlx::Error> {
    let mut latencies: Vec<_> = rollup.latency.iter().collect();
    latencies.sort_by_key(|((day, business_id, bucket), _)| (business_id, day, bucket));
    for some in latencies.chunks(LATENCIES_TOGETHER) {
        let query = sqlx::query(MERGE_LATENCIES)
            .bind(some.iter().map(|((day, ..), _)| *day).collect::<Vec<_>>())
            .bind(some.iter().map(|((_, business_id, _), _)| business_id.as_str()).collect::<Vec<_>>())
            .bind(some.iter().map(|((.., bucket), _)| *bucket).collect::<Vec<_>>())
            .bind(some.iter().map(|(_, events)| count(**events)).collect::<Vec<_>>());
        run_gently(conn, query).await?;
    }
    Ok(())
}

/// Runs a statement, and rests for as long as it took: half of the time belongs to others. Gives the number of its rows.
async fn run_gently(
    conn: &mut PgConnection,
    query: Query<'_, Postgres, PgArguments>,
) -> Result<u64, sqlx::Error> {
    let begun = Instant::now();
    let done = query.execute(conn).await?;
    sleep(begun.elapsed()).await;
    Ok(done.rows_affected())
}
