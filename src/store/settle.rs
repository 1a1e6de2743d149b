//! Settling pending rollups: what many rows add up to goes into the rollup tables, and the rows go away.

use sqlx::Row;

use super::pending::{Columns, Counted};
use super::rollups::{add_to_daily, add_to_latency, add_to_totals, sum_columns};
use super::{Db, Store, StoreError, WRITE_LIMIT};

/// The sums of rows of the same key.
macro_rules! summed {
    () => {
        "sum(events), sum(response_time_ms), sum(within_100ms), sum(within_500ms), sum(within_1s), sum(within_2s), \
         sum(within_5s), sum(within_10s), sum(success_e4), sum(tokens), sum(prompt_tokens), sum(completion_tokens), \
         sum(cost_micros), sum(appointments_requested), sum(appointments_booked), sum(handoffs)"
    };
}

/// The end of a statement that adds the rows of `added` and `latencies` to the rollup tables. They go in the order of their
/// keys, so that two replicas do not wait for each other in a circle.
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
            "), latency as (
        insert into ai_latency_daily (day, business_id, bucket, events)
        select day, business_id, bucket, sum(events) from latencies
        group by business_id, day, bucket order by business_id, day, bucket",
            add_to_latency!(),
            ")"
        )
    };
}

/// The columns of `added`.
macro_rules! added_columns {
    () => {
        concat!(
            "day, business_id, model_name, intent_detected, response_type, ",
            sum_columns!(),
            ", last_success_at, last_success_rate"
        )
    };
}

/// Settles rows whose sums are known, or finds that some of them are settled already, and does nothing.
const SETTLE: &str = concat!(
    "with found as (
        select seq from ai_rollup_pending where seq = any($27) order by seq for update skip locked
    ), whole as (
        select count(*) = cardinality($27) as all_found from found
    ), settled as (
        delete from ai_rollup_pending where seq = any($27) and (select all_found from whole)
    ), added as (
        select * from unnest($5::date[], $1::text[], $2::text[], $3::text[], $4::text[], $6::int[], $7::bigint[], $8::int[],
            $9::int[], $10::int[], $11::int[], $12::int[], $13::int[], $14::bigint[], $15::bigint[], $16::bigint[],
            $17::bigint[], $18::bigint[], $19::int[], $20::int[], $21::int[], $22::bigint[], $23::float8[])
            with ordinality as keys(",
    added_columns!(),
    ", key) where (select all_found from whole)
    ), latencies as (
        select day, business_id, bucket, l.events
        from unnest($24::int[], $25::smallint[], $26::int[]) as l(key, bucket, events) join added using (key)
    ), ",
    add_up!(),
    " select all_found from whole"
);

/// Moves rows over whose sums nobody knows any more. Large arrays lie beside their row, and each subscript would fetch them
/// again: joined to nothing they are fetched once.
const MOVE: &str = concat!(
    "with moved as (
        delete from ai_rollup_pending where seq in (
            select seq from ai_rollup_pending where seq > 0 order by seq limit $1 for update skip locked)
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
    ), ",
    add_up!(),
    " select count(*) from moved"
);

impl Store {
    /// Settles what was counted; says whether it could. Where another replica has settled some of the rows already it does
    /// nothing, and [`Self::settle_left`] does what is left to do.
    pub async fn settle(&self, counted: &Counted) -> Result<bool, StoreError> {
        let Db::Postgres(db) = &self.admin else { return Ok(true) };
        let columns = Columns::of(&counted.rollup);
        on!(@run db, WRITE_LIMIT, conn, {
            let query = columns.bind_sums(columns.bind_keys(sqlx::query(SETTLE))).bind(&counted.pending);
            query.fetch_one(conn).await?.try_get(0)
        })
    }

    /// Settles pending rollups, whoever counted them, those of at most so many batches; says whether more may be left.
    /// Several replicas may do so at the same time.
    pub async fn settle_left(&self, most: i64) -> Result<bool, StoreError> {
        let Db::Postgres(db) = &self.admin else { return Ok(false) };
        let moved: i64 = on!(@run db, WRITE_LIMIT, conn, {
            sqlx::query_scalar(MOVE).bind(most).fetch_one(conn).await
        })?;
        Ok(moved == most)
    }
}
