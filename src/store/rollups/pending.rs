//! Rollups on their way into the rollup tables of Postgres: a batch adds one row for all its keys, and many such rows are
//! settled together, when few keys are left of many. Views, whose names end in `_now`, show both as one.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::NaiveDate;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres, Row, SqliteConnection};

use super::{AddRollup, bind_keys, bind_sums, give_each, totals_columns};
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
pub(in crate::store) use pending_columns;

/// The columns of a key and its sums.
macro_rules! added_columns {
    () => {
        concat!("day, ", $crate::store::rollups::totals_columns!())
    };
}
pub(in crate::store) use added_columns;

/// What events add up to that the store has counted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CountedRollup {
    /// Their sums.
    pub rollup: Rollup,
    /// The pending rows that hold these sums, and nothing else. None where sums go into their tables at once.
    pub pending: Vec<i64>,
}

impl CountedRollup {
    /// Adds what others add up to.
    pub fn add(&mut self, other: Self) {
        self.rollup.add(other.rollup);
        self.pending.extend(other.pending);
    }
}

/// A statement under construction.
type PgQuery<'q> = Query<'q, Postgres, PgArguments>;

/// A rollup as one row holds it.
pub(in crate::store) struct Columns<'r> {
    keys: Vec<(&'r (NaiveDate, Key), &'r Sums)>,
    /// For each latency: the place, from 1, of a key of the same day and business; bucket; events.
    latency: Vec<(i32, i16, i32)>,
}

impl<'r> Columns<'r> {
    pub(in crate::store) fn of(rollup: &'r Rollup) -> Self {
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

    /// The same keys in parts of so many, without latencies.
    pub(in crate::store) fn parts(&self, most: usize) -> impl Iterator<Item = Self> {
        self.keys.chunks(most).map(|keys| Self { keys: keys.to_vec(), latency: Vec::new() })
    }

    /// The place, from 1, of the key that `event` is added up by on `day`.
    pub(in crate::store) fn place_of(&self, day: NaiveDate, event: &Event) -> i32 {
        let of_event = (day, key_of(event));
        place(self.keys.partition_point(|((day, key), _)| (*day, key.parts()) < of_event))
    }

    /// Binds the first four columns.
    pub(in crate::store) fn bind_keys(&self, query: PgQuery<'r>) -> PgQuery<'r> {
        macro_rules! column {
            (|$key:ident| $value:expr) => {
                self.keys.iter().map(|((_, $key), _)| $value).collect::<Vec<_>>()
            };
        }
        bind_keys!(query, column)
    }

    /// Binds those up to `last_success_rate`.
    pub(in crate::store) fn bind_sums(&self, query: PgQuery<'r>) -> PgQuery<'r> {
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
    }

    /// Binds the last three.
    pub(in crate::store) fn bind_latency(&self, query: PgQuery<'r>) -> PgQuery<'r> {
        query
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
pub(in crate::store) fn count(events: i64) -> i32 {
    events.try_into().expect("no rollup is of that many events")
}

impl AddRollup for PgConnection {
    async fn add_rollup(&mut self, rollup: &Rollup) -> Result<Vec<i64>, sqlx::Error> {
        const ADD: &str = concat!(
            "insert into ai_rollup_pending (",
            pending_columns!(),
            ") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
                $24, $25, $26) returning seq"
        );
        if rollup.daily.is_empty() {
            return Ok(Vec::new());
        }
        let columns = Columns::of(rollup);
        let added = columns.bind_latency(columns.bind_sums(columns.bind_keys(sqlx::query(ADD))));
        Ok(vec![added.fetch_one(self).await?.try_get(0)?])
    }
}

/// A connection that reads what is pending, inside a transaction that sees one state.
pub(in crate::store) trait ReadPending {
    /// Gives the totals of all that is pending to `each`: from `counted` what that holds, the rest from the table.
    async fn each_pending(
        &mut self,
        counted: &[Arc<CountedRollup>],
        each: &mut impl FnMut(&Key, &Sums),
    ) -> Result<(), sqlx::Error>;
}

impl ReadPending for PgConnection {
    async fn each_pending(
        &mut self,
        counted: &[Arc<CountedRollup>],
        each: &mut impl FnMut(&Key, &Sums),
    ) -> Result<(), sqlx::Error> {
        const ALL: &str = "select seq from ai_rollup_pending where seq = any($1)";
        // The empty part gives the columns their types: the arrays are of smaller ones.
        const OTHERS: &str = concat!(
            "select ",
            totals_columns!(),
            " from ai_totals where false union all select ",
            totals_columns!(),
            " from (select a.* from ai_rollup_pending, unnest(",
            added_columns!(),
            ") as a(",
            added_columns!(),
            ") where seq > 0 and not exists (select from unnest($1::bigint[]) as known(row) where known.row = seq)
            ) others"
        );
        let rows: Vec<i64> = counted.iter().flat_map(|counted| &counted.pending).copied().collect();
        let pending: Vec<i64> = sqlx::query_scalar(ALL).bind(&rows).fetch_all(&mut *self).await?;
        let pending: HashSet<i64> = pending.into_iter().collect();
        // Where somebody else has settled some of them, the sums are not those of the others.
        let whole = counted.iter().filter(|counted| counted.pending.iter().all(|row| pending.contains(row)));
        let mut known = Vec::with_capacity(rows.len());
        for counted in whole {
            known.extend_from_slice(&counted.pending);
            counted.rollup.totals().into_iter().for_each(|(key, sums)| each(key, &sums));
        }
        give_each(sqlx::query_as(OTHERS).bind(known).fetch(self), each).await
    }
}

impl ReadPending for SqliteConnection {
    /// Nothing ever is.
    async fn each_pending(
        &mut self,
        _: &[Arc<CountedRollup>],
        _: &mut impl FnMut(&Key, &Sums),
    ) -> Result<(), sqlx::Error> {
        Ok(())
    }
}
