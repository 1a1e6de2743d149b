//! Rollups on their way into the rollup tables of Postgres: a batch adds one row for all its keys, and many such rows are
//! moved over together, when few keys are left of many. Views, whose names end in `_now`, show both as one.

use chrono::NaiveDate;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres};

use super::rollups::{
    AddRollup, add_to_daily, add_to_latency, add_to_totals, bind_keys, bind_sums, sum_columns,
};
use super::{Db, Store, StoreError, WRITE_LIMIT};
use crate::event::Event;
use crate::rollup::{Key, Rollup, Sums, key_of};

/// The columns of a row, in the order in which [`Columns::bind_keys`] and [`Columns::bind_sums`] bind them.
macro_rules! pending_columns {
    () => {
        concat!(
            "business_id, model_name, intent_detected, response_type, day, ",
            $crate::store::rollups::sum_columns!(),
            ", last_success_at, last_success_rate, latency_key, latency_bucket, latency_events"
        )
    };
}
pub(super) use pending_columns;

/// A statement under construction.
type PgQuery<'q> = Query<'q, Postgres, PgArguments>;

/// A rollup as one row holds it.
pub(super) struct Columns<'r> {
    keys: Vec<(&'r (NaiveDate, Key), &'r Sums)>,
    /// For each latency: the place, from 1, of a key of the same day and business; bucket; events.
    latency: Vec<(i32, i16, i32)>,
}

impl<'r> Columns<'r> {
    pub(super) fn of(rollup: &'r Rollup) -> Self {
        let keys: Vec<_> = rollup.daily.iter().collect();
        let of_business = |day: NaiveDate, business_id: &str| {
            keys.partition_point(|((other, key), _)| (*other, key.business_id.as_str()) < (day, business_id))
        };
        let latency = rollup.latency.iter().map(|((day, business_id, bucket), events)| {
            (place(of_business(*day, business_id)), *bucket, count(*events))
        });
        let latency = latency.collect();
        Self { keys, latency }
    }

    /// The place, from 1, of the key that `event` is added up by on `day`.
    pub(super) fn place_of(&self, day: NaiveDate, event: &Event) -> i32 {
        let of_event = (day, key_of(event));
        place(self.keys.partition_point(|((day, key), _)| (*day, key.parts()) < of_event))
    }

    /// Binds the first four columns.
    pub(super) fn bind_keys(&self, query: PgQuery<'r>) -> PgQuery<'r> {
        macro_rules! column {
            (|$key:ident| $value:expr) => {
                self.keys.iter().map(|((_, $key), _)| $value).collect::<Vec<_>>()
            };
        }
        bind_keys!(query, column)
    }

    /// Binds the others.
    pub(super) fn bind_sums(&self, query: PgQuery<'r>) -> PgQuery<'r> {
        macro_rules! sum {
            (|$sums:ident| $value:expr) => {
                self.keys.iter().map(|(_, $sums)| $value).collect::<Vec<_>>()
            };
        }
        macro_rules! count {
            (|$sums:ident| $value:expr) => {
                self.keys.iter().map(|(_, $sums)| count($value)).collect::<Vec<_>>()
            };
        }
        let query = query.bind(self.keys.iter().map(|((day, _), _)| *day).collect::<Vec<_>>());
        bind_sums!(query, count, sum)
            .bind(sum!(|sums| sums.last_success.map(|last| last.at_micros)))
            .bind(sum!(|sums| sums.last_success.map(|last| last.rate)))
            .bind(self.latency.iter().map(|(key, ..)| *key).collect::<Vec<_>>())
            .bind(self.latency.iter().map(|(_, bucket, _)| *bucket).collect::<Vec<_>>())
            .bind(self.latency.iter().map(|(.., events)| *events).collect::<Vec<_>>())
    }
}

/// A place from 1, as Postgres counts the elements of arrays.
fn place(index: usize) -> i32 {
    i32::try_from(index + 1).expect("no rollup has that many keys")
}

/// A number of events of one rollup.
fn count(events: i64) -> i32 {
    events.try_into().expect("no rollup is of that many events")
}

impl AddRollup for PgConnection {
    async fn add_rollup(&mut self, rollup: &Rollup) -> Result<(), sqlx::Error> {
        const ADD: &str = concat!(
            "insert into ai_rollup_pending (",
            pending_columns!(),
            ") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
                $24, $25, $26)"
        );
        let columns = Columns::of(rollup);
        columns.bind_sums(columns.bind_keys(sqlx::query(ADD))).execute(self).await.map(drop)
    }
}

/// The sums of rows of the same key.
macro_rules! summed {
    () => {
        "sum(events), sum(response_time_ms), sum(within_100ms), sum(within_500ms), sum(within_1s), sum(within_2s), \
         sum(within_5s), sum(within_10s), sum(success_e4), sum(tokens), sum(prompt_tokens), sum(completion_tokens), \
         sum(cost_micros), sum(appointments_requested), sum(appointments_booked), sum(handoffs)"
    };
}

/// Rows go in the order of their keys, so that two replicas do not wait for each other in a circle. Large arrays lie beside
/// their row, and each subscript would fetch them again: joined to nothing they are fetched once.
const MOVE: &str = concat!(
    "with moved as (
        delete from ai_rollup_pending where seq in (
            select seq from ai_rollup_pending where seq > 0 order by seq limit $1 for update skip locked)
        returning *
    ), added as (
        select a.* from moved, unnest(day, business_id, model_name, intent_detected, response_type, ",
    sum_columns!(),
    ", last_success_at, last_success_rate)
            as a(day, business_id, model_name, intent_detected, response_type, ",
    sum_columns!(),
    ", last_success_at, last_success_rate)
    ), daily as (
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
        select whole.day[l.key] as day, whole.business_id[l.key] as business_id, l.bucket, sum(l.events)
        from moved m
        cross join lateral (select m.day || '{}' as day, m.business_id || '{}' as business_id offset 0) whole
        cross join lateral unnest(m.latency_key, m.latency_bucket, m.latency_events) as l(key, bucket, events)
        group by 2, 1, 3 order by 2, 1, 3",
    add_to_latency!(),
    ") select count(*) from moved"
);

impl Store {
    /// Moves pending rollups into their tables, those of at most so many batches; says whether more may be left. Several
    /// replicas may do so at the same time.
    pub async fn settle_rollups(&self, most: i64) -> Result<bool, StoreError> {
        let Db::Postgres(db) = &self.admin else { return Ok(false) };
        let moved: i64 = on!(@run db, WRITE_LIMIT, conn, {
            sqlx::query_scalar(MOVE).bind(most).fetch_one(conn).await
        })?;
        Ok(moved == most)
    }
}
