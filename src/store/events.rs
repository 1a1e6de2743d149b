//! Writes a batch of events with their rollup, each event once.

mod arrays;
pub(in crate::store) mod counted_only;
pub(in crate::store) mod export;
pub(in crate::store) mod foreign;
pub(in crate::store) mod import;
pub(in crate::store) mod keeping;
mod postgres;
mod reconcile;
mod sqlite;
mod tls_record;

use std::sync::LazyLock;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use futures_util::future::try_join_all;
use uuid::Uuid;

use super::rollups::AddRollup;
use super::{CountedRollup, Db, READ_LIMIT, Store, StoreError, WRITE_LIMIT};
use crate::business::Profiles;
use crate::event::{Event, EventKey};
use crate::rollup::Rollup;

/// The maximum age, in minutes, at which `/track` may claim a row that another program inserted; see `foreign.rs`.
pub const CLAIM_MINUTES: i64 = 10;

/// The outcome of writing an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteOutcome {
    /// It is stored, and counted in the rollups by this batch.
    Counted,
    /// It is stored: it claimed a foreign row that was already counted.
    Claimed,
    /// One of its business with its id was stored before.
    Duplicate,
    /// It is counted but not stored, because its customer has not consented or was erased. If a foreign row for it was already
    /// counted, this batch did not count it again.
    CountedOnly,
    /// Its id was counted before, and its row was never stored or has been deleted.
    CountedOnlyDuplicate,
}

/// The result of writing a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The outcome of each event, in the order of the batch.
    pub outcomes: Vec<WriteOutcome>,
    /// The rollup of the events that this batch counted.
    pub counted: CountedRollup,
}

impl Store {
    /// Writes events with distinct keys atomically, within `limit`. `again` means that the outcome of an earlier attempt
    /// is unknown, so events may be stored already even under generated ids.
    pub async fn write(&self, events: &[Event], again: bool, limit: Duration) -> Result<Written, StoreError> {
        let (profiles, keeping) = (&self.profiles.current(), &self.keeping);
        match &self.write {
            Db::Postgres(db) => {
                on!(@run db, limit, conn, keeping::on_postgres(conn, events, again, profiles, keeping).await)
            }
            Db::Sqlite(db) => {
                on!(@run db, limit, conn, keeping::on_sqlite(conn, events, profiles, db.queue(), keeping).await)
            }
        }
    }

    /// Returns those of `keys` whose events are stored or counted only.
    pub async fn stored(&self, keys: &[EventKey]) -> Result<Vec<EventKey>, StoreError> {
        let Db::Postgres(db) = &self.read else { return Ok(Vec::new()) };
        let ids: Vec<Uuid> = keys.iter().map(|key| key.id).collect();
        let businesses: Vec<&str> = keys.iter().map(|key| key.business_id.as_str()).collect();
        let numbers: Vec<i64> = on!(@run db, READ_LIMIT, conn, {
            sqlx::query_scalar(FOUND.as_str()).bind(&ids).bind(&businesses).fetch_all(conn).await
        })?;
        Ok(numbers.into_iter().map(|number| keys[place_of(number)].clone()).collect())
    }

    /// Checks that the database accepts writes by committing an update that changes nothing, on each connection for
    /// writing batches: this also opens them, so that no event has to wait for it.
    pub async fn probe(&self) -> Result<(), StoreError> {
        const SQL: &str = "update ai_totals set events = events where seq = (select min(seq) from ai_totals)";
        let probe =
            async |_| on!(&self.write, WRITE_LIMIT, |conn| sqlx::query(SQL).execute(conn).await.map(drop));
        try_join_all((0..self.writers()).map(probe)).await.map(drop)
    }
}

/// Returns the condition that the event of a row `k` with its `business_id` and `event_id` is stored. Where to look is known to the
/// database alone, so that statements stay as they are when `ai_metrics` is partitioned: see [`super::partitions`].
fn is_stored(k: &str) -> String {
    format!("mlops_is_stored({k}.business_id, {k}.event_id)")
}

/// Returns a query for the numbers `n`, from 1, of those events of the arrays `ids` and `businesses` that are stored or counted only.
fn found_among(ids: &str, businesses: &str) -> String {
    let is_counted_only = is_counted_only("k");
    format!(
        "select n from mlops_stored_among({ids}, {businesses}) n
         union select k.n from unnest({ids}, {businesses}) with ordinality k(event_id, business_id, n) where {is_counted_only}"
    )
}

/// The query of [`found_among`] for the arrays `$1` and `$2`.
static FOUND: LazyLock<String> = LazyLock::new(|| found_among("$1::uuid[]", "$2::text[]"));

/// Returns the place in the arrays of an event's number: Postgres counts from 1.
fn place_of(number: i64) -> usize {
    usize::try_from(number - 1).expect("numbers begin with 1")
}

/// Returns the condition that the event of a row `k` is counted only. Ids that were recorded without a business hold for all.
fn is_counted_only(k: &str) -> String {
    format!(
        "exists (select from mlops_counted_events c
                 where c.event_id = {k}.event_id and c.business_id in ('', {k}.business_id))"
    )
}

/// Returns the rollup of those `events` whose outcome is [`WriteOutcome::Counted`].
fn rollup_of(events: &[Event], outcomes: &[WriteOutcome], profiles: &Profiles) -> Rollup {
    let counted = events.iter().zip(outcomes).filter(|(_, outcome)| **outcome == WriteOutcome::Counted);
    Rollup::of(counted.map(|(event, _)| event), profiles)
}

/// Adds the rollup of a batch to the database.
async fn count(conn: &mut impl AddRollup, rollup: Rollup) -> Result<CountedRollup, sqlx::Error> {
    let pending = conn.add_rollup(&rollup).await?;
    Ok(CountedRollup { rollup, pending })
}

/// Returns the time after which a foreign row must have been created for one of `events` to claim it.
fn claimable_from(events: &[Event]) -> NaiveDateTime {
    let first = events.iter().map(|event| event.at).min().unwrap_or(DateTime::<Utc>::MAX_UTC);
    (first - TimeDelta::minutes(CLAIM_MINUTES)).naive_utc()
}
