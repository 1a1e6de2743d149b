//! Pending rollups on Postgres: each batch inserts one row with the sums of all its keys into `ai_rollup_pending`. Many
//! such rows are merged into the rollup tables together (`merge.rs`), so that each key is updated once for all of them.
//! Views whose names end in `_now` include both.
//!
//! What it buys: for a batch of 32 events of 20 businesses, sent by one client, Postgres needs 40 µs of CPU time per
//! event; updating three rollup rows per key of the batch instead takes 94 µs. Readers of the totals get the pending
//! rollups of this process from memory: unpacking them from the table takes the database and the service 50 ms each,
//! every 15 seconds under load.
//!
//! It can go when a batch can update the rollup tables at the cost of one insert, for instance because batches have far
//! more events than keys. SQLite does without it, because its updates need no round trip to a server (`sqlite.rs`).

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use chrono::NaiveDate;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres, Row, SqliteConnection};
use strum::VariantArray;

use super::columns::{list, pending_columns, pending_sums, totals_columns};
use super::{AddRollup, for_each_row};
use crate::event::Event;
use crate::rollup::{Key, Rollup, Sum, Sums, key_of};
use crate::store::placeholders::Placeholders;

/// A rollup that the store has counted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CountedRollup {
    /// The sums.
    pub rollup: Rollup,
    /// The sequence numbers of the pending rows that together have these sums. Empty on SQLite, which has no pending
    /// rollups.
    pub pending: Vec<i64>,
}

impl CountedRollup {
    /// Adds `other` to this rollup.
    pub fn add(&mut self, other: Self) {
        self.rollup.add(other.rollup);
        self.pending.extend(other.pending);
    }
}

/// A statement under construction.
type PgQuery<'q> = Query<'q, Postgres, PgArguments>;

/// A rollup as the array columns of a row of `ai_rollup_pending`.
pub(in crate::store) struct Columns<'r> {
    keys: Vec<(&'r (NaiveDate, Key), &'r Sums)>,
    /// For each latency: the position, from 1, of a key with the same day and business; the bucket; the number of
    /// events.
    latency: Vec<(i32, i16, i32)>,
}

impl<'r> Columns<'r> {
    /// Converts `rollup` to arrays.
    pub(in crate::store) fn of(rollup: &'r Rollup) -> Self {
        let keys: Vec<_> = rollup.daily.iter().collect();
        let of_business = |day: NaiveDate, business_id: &str| {
            keys.partition_point(|((other, key), _)| (*other, key.business_id.as_str()) < (day, business_id))
        };
        let latency = rollup.latency.iter().map(|((day, business_id, bucket), events)| {
            (position(of_business(*day, business_id)), *bucket, count(*events))
        });
        let latency = latency.collect();
        Self { keys, latency }
    }

    /// Splits the keys and their sums, without latencies, into parts of at most `most` keys.
    pub(in crate::store) fn parts(&self, most: usize) -> impl Iterator<Item = Self> {
        self.keys.chunks(most).map(|keys| Self { keys: keys.to_vec(), latency: Vec::new() })
    }

    /// Returns the position, from 1, of the key of `event` on `day`.
    pub(in crate::store) fn position_of(&self, day: NaiveDate, event: &Event) -> i32 {
        let of_event = (day, key_of(event));
        position(self.keys.partition_point(|((day, key), _)| (*day, key.parts()) < of_event))
    }

    /// Binds the columns of the keys.
    pub(in crate::store) fn bind_keys(&self, query: PgQuery<'r>) -> PgQuery<'r> {
        (0..Key::COLUMNS.len()).fold(query, |query, part| {
            query.bind(self.keys.iter().map(|((_, key), _)| key.parts()[part]).collect::<Vec<_>>())
        })
    }

    /// Binds the columns from `day` to `last_success_rate`.
    pub(in crate::store) fn bind_sums(&self, query: PgQuery<'r>) -> PgQuery<'r> {
        let query = query.bind(self.keys.iter().map(|((day, _), _)| *day).collect::<Vec<_>>());
        let query = Sum::VARIANTS.iter().fold(query, |query, sum| {
            let values = self.keys.iter().map(|(_, sums)| sums[*sum]);
            match sum.is_count() {
                true => query.bind(values.map(count).collect::<Vec<_>>()),
                false => query.bind(values.collect::<Vec<_>>()),
            }
        });
        let last_success = self.keys.iter().map(|(_, sums)| sums.last_success);
        query
            .bind(last_success.clone().map(|last| last.map(|last| last.at_micros)).collect::<Vec<_>>())
            .bind(last_success.map(|last| last.map(|last| last.rate)).collect::<Vec<_>>())
    }

    /// Binds the three columns of the latencies.
    pub(in crate::store) fn bind_latency(&self, query: PgQuery<'r>) -> PgQuery<'r> {
        query
            .bind(self.latency.iter().map(|(key, ..)| *key).collect::<Vec<_>>())
            .bind(self.latency.iter().map(|(_, bucket, _)| *bucket).collect::<Vec<_>>())
            .bind(self.latency.iter().map(|(.., events)| *events).collect::<Vec<_>>())
    }
}

/// Converts an index to a position in a Postgres array, which counts from 1.
fn position(index: usize) -> i32 {
    i32::try_from(index + 1).expect("no rollup has that many keys")
}

/// Converts a number of events to the `int4` of a pending row.
pub(in crate::store) fn count(events: i64) -> i32 {
    events.try_into().expect("no rollup is of that many events")
}

static ADD: LazyLock<String> = LazyLock::new(|| {
    let columns: Vec<&str> = pending_columns().collect();
    let values = Placeholders::default().list(columns.len());
    format!("insert into ai_rollup_pending ({}) values ({values}) returning seq", columns.join(", "))
});

/// Selects the totals of the pending rows except `$1`. The empty first select sets the column types: the array elements
/// have narrower ones.
static OTHERS: LazyLock<String> = LazyLock::new(|| {
    let (totals, pending) = (list(totals_columns()), list(pending_sums().map(|(column, _)| column)));
    format!(
        "select {totals} from ai_totals where false union all select {totals}
        from (select a.* from ai_rollup_pending, unnest({pending}) as a({pending})
            where seq > 0 and not exists (select from unnest($1::bigint[]) as known(row) where known.row = seq)) others"
    )
});

impl AddRollup for PgConnection {
    async fn add_rollup(&mut self, rollup: &Rollup) -> Result<Vec<i64>, sqlx::Error> {
        if rollup.daily.is_empty() {
            return Ok(Vec::new());
        }
        let columns = Columns::of(rollup);
        let query = columns.bind_sums(columns.bind_keys(sqlx::query(ADD.as_str())));
        Ok(vec![columns.bind_latency(query).fetch_one(self).await?.try_get(0)?])
    }
}

/// A connection that reads pending rollups, inside a transaction that reads a snapshot.
pub(in crate::store) trait ReadPending {
    /// Passes the totals of all pending rollups to `each`: those of `counted` from memory, the others from the table.
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
        let rows: Vec<i64> = counted.iter().flat_map(|counted| &counted.pending).copied().collect();
        let pending: Vec<i64> = sqlx::query_scalar(ALL).bind(&rows).fetch_all(&mut *self).await?;
        let pending: HashSet<i64> = pending.into_iter().collect();
        // If another replica has merged some of its rows, the sums in memory are too large: read the others.
        let whole = counted.iter().filter(|counted| counted.pending.iter().all(|row| pending.contains(row)));
        let mut known = Vec::with_capacity(rows.len());
        for counted in whole {
            known.extend_from_slice(&counted.pending);
            counted.rollup.totals().into_iter().for_each(|(key, sums)| each(key, &sums));
        }
        for_each_row(sqlx::query_as(OTHERS.as_str()).bind(known).fetch(self), each).await
    }
}

impl ReadPending for SqliteConnection {
    /// Does nothing: SQLite has no pending rollups.
    async fn each_pending(
        &mut self,
        _: &[Arc<CountedRollup>],
        _: &mut impl FnMut(&Key, &Sums),
    ) -> Result<(), sqlx::Error> {
        Ok(())
    }
}
