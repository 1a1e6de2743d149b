//! Foreign rows: rows of `ai_metrics` that another program inserted. The receptionist app inserts one just before it
//! calls `/track`, so a recent row usually belongs to an event that is about to be reported.
//!
//! A foreign row has no `event_id` until it is counted. It is then assigned one that is derived from its `id` and
//! encodes whether the row was recent. `/track` may claim a recent row: it then gets the id of the event and is not
//! counted again.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use sqlx::{AssertSqlSafe, ColumnIndex, Decode, FromRow, Type};

use crate::event::{COLUMNS, Column, Event, Getter, ReadColumn, Row};
use crate::rollup::Key;
use crate::store::rollups::columns::list;
use crate::store::{CLAIM_MINUTES, Store, StoreError, WRITE_LIMIT, dialect, digest};

/// The largest and the smallest number of rows that are counted in one transaction.
const CHUNKS: (i64, i64) = (2_000, 50);

/// How many rows are counted in one transaction: fewer after one that took too long, and then slowly more again. Clones share it.
#[derive(Debug, Clone)]
pub(in crate::store) struct Chunk(Arc<AtomicI64>);

impl Chunk {
    pub(in crate::store) fn new() -> Self {
        Self(Arc::new(AtomicI64::new(CHUNKS.0)))
    }

    fn rows(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    fn grow(&self) {
        let rows = self.rows();
        self.0.store((rows + rows / 8).min(CHUNKS.0), Ordering::Relaxed);
    }

    /// Returns `false` if it is the smallest already.
    fn shrink(&self) -> bool {
        let rows = self.rows();
        self.0.store((rows / 2).max(CHUNKS.1), Ordering::Relaxed);
        rows > CHUNKS.1
    }
}

/// A foreign row, as [`dialect::Dialect::FOREIGN_VALUES`] selects it.
pub(in crate::store) struct ForeignRow {
    /// The event, without its time.
    event: Event,
    created_at: Option<NaiveDateTime>,
    /// The `id` of the row.
    row_id: i64,
}

/// A row of either driver.
struct DriverRow<'r, R>(&'r R);

impl<R> Row for DriverRow<'_, R> {
    type Error = sqlx::Error;
}

impl<'r, R: sqlx::Row, T: Decode<'r, R::Database> + Type<R::Database>> ReadColumn<T> for DriverRow<'r, R>
where
    &'static str: ColumnIndex<R>,
{
    fn read(&self, name: &'static str) -> Result<T, sqlx::Error> {
        self.0.try_get(name)
    }
}

macro_rules! foreign_rows_of {
    ($($row:ty),+) => {$(
        impl FromRow<'_, $row> for ForeignRow {
            fn from_row(row: &$row) -> Result<Self, sqlx::Error> {
                let event = Event::from_row(&DriverRow(row), DateTime::UNIX_EPOCH)?;
                let row = DriverRow(row);
                Ok(Self { event, created_at: row.read("created_at")?, row_id: row.read("row_id")? })
            }
        }
    )+};
}

foreign_rows_of!(sqlx::postgres::PgRow, sqlx::sqlite::SqliteRow);

impl ForeignRow {
    /// Returns the `id` of the row.
    pub(in crate::store) const fn row_id(&self) -> i64 {
        self.row_id
    }

    /// Converts a row that was counted before to an event. Without a valid time it is of no day that matters.
    pub(in crate::store) fn into_stored_event(self) -> Event {
        self.into_event(DateTime::UNIX_EPOCH).0
    }

    /// Converts the row to an event. A row without a valid time is dated `now`. Also returns how many labels were redacted.
    pub(in crate::store) fn into_event(self, now: DateTime<Utc>) -> (Event, u64) {
        let mut event = Event { at: self.created_at.map_or(now, |at| at.and_utc()), ..self.event };
        let redacted = event.redact_labels();
        (event, redacted)
    }
}

/// What counting foreign rows did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ForeignCount {
    /// Whether more rows may be left.
    pub more: bool,
    /// The number of labels that were redacted in the rollups.
    pub redacted: u64,
}

/// The select list of foreign rows on Postgres.
pub(in crate::store) static POSTGRES_VALUES: LazyLock<String> = LazyLock::new(|| values(postgres_value));

/// The select list of foreign rows on SQLite.
pub(in crate::store) static SQLITE_VALUES: LazyLock<String> = LazyLock::new(|| values(sqlite_value));

/// Returns the select list of a foreign row. Nothing has validated the row, so values are clamped to the bounds of an
/// event: counters must not decrease. Strings that neither a sum nor the facts about a conversation need are left empty, because they may
/// identify a person.
fn values(value: fn(&Column) -> String) -> String {
    let columns = COLUMNS.iter().filter(|column| !matches!(column.get, Getter::Id(_)));
    let is_needed = |name: &str| Key::COLUMNS.contains(&name) || name == "conversation_id";
    let columns = columns.map(|column| match column.get {
        Getter::Text(_) if !is_needed(column.name) => format!("'' as {}", column.name),
        _ => format!("{} as {}", value(column), column.name),
    });
    list(columns.chain(["cast(id as bigint) as row_id".to_owned()]))
}

/// Returns the expression for the value of a column. Decimals may be NaN, and times infinite.
fn postgres_value(Column { name, get }: &Column) -> String {
    match get {
        Getter::Id(_) | Getter::Text(_) => (*name).to_owned(),
        Getter::Int(_) => format!("case when {name} < 0 then 0 else {name} end"),
        Getter::SuccessRate(_) => format!(
            "case when {name} = 'NaN' then 0 else cast(least(greatest({name}, 0), 1) as double precision) end"
        ),
        Getter::Rating(_) => format!(
            "case when cast({name} as double precision) <> 'NaN' then least(greatest(cast({name} as double precision), 0), 1) end"
        ),
        Getter::Usd(_) => format!(
            "case when {name} = 'NaN' then 0 else cast(round(greatest({name}, 0) * 1000000) as bigint) end"
        ),
        Getter::Flag(_) => format!("coalesce({name}, false)"),
        Getter::Time(_) => {
            format!("case when {name} between '1970-01-01' and '9999-12-31' then {name} end")
        }
    }
}

/// Returns the expression for the value of a column, which may be of any type.
fn sqlite_value(Column { name, get }: &Column) -> String {
    match get {
        Getter::Id(_) | Getter::Text(_) => format!("cast({name} as text)"),
        Getter::Int(_) => format!("min(max(cast({name} as integer), 0), 2147483647)"),
        Getter::SuccessRate(_) | Getter::Rating(_) => {
            format!("min(max(cast({name} as real), 0.0), 1.0)")
        }
        Getter::Usd(_) => {
            format!("cast(round(min(max(cast({name} as real), 0.0), 9999.999999) * 1000000) as integer)")
        }
        Getter::Flag(_) => format!("coalesce(cast({name} as integer), 0) <> 0"),
        Getter::Time(_) => {
            format!("case when typeof({name}) = 'text' then strftime('%Y-%m-%d %H:%M:%f', {name}) end")
        }
    }
}

/// Selects the number of the next rows and the id of the last one, so that the update of all rows up to it needs no
/// join. A join would be quadratic, because the planner expects hardly any such rows.
const NEXT: &str = "select count(*), cast(max(id) as bigint) from (select id from ai_metrics where event_id is null order by id limit $1) next";

impl Store {
    /// Counts some of the uncounted foreign rows. If that takes too long, counts none, and fewer the next time.
    pub async fn count_foreign_rows(&self, now: DateTime<Utc>) -> Result<ForeignCount, StoreError> {
        let chunk = self.foreign_chunk.rows();
        match self.count_at_most(chunk, now).await {
            Err(StoreError::TimedOut) if self.foreign_chunk.shrink() => {
                Ok(ForeignCount { more: true, ..ForeignCount::default() })
            }
            Ok(counted) => {
                self.foreign_chunk.grow();
                Ok(counted)
            }
            Err(error) => Err(error),
        }
    }

    async fn count_at_most(&self, chunk: i64, now: DateTime<Utc>) -> Result<ForeignCount, StoreError> {
        let claimable_from = (now - TimeDelta::minutes(CLAIM_MINUTES)).naive_utc();
        let profiles = self.profiles.current();
        on!(&self.write, WRITE_LIMIT, |conn| {
            let mut tx = dialect::begin(conn).await?;
            let next: (i64, Option<i64>) = sqlx::query_as(NEXT).bind(chunk).fetch_one(&mut *tx).await?;
            let (due, Some(last)) = next else { return Ok(ForeignCount::default()) };
            let rows: Vec<ForeignRow> = sqlx::query_as(AssertSqlSafe(count_up_to(&tx)))
                .bind(claimable_from)
                .bind(last)
                .fetch_all(&mut *tx)
                .await?;
            let redacted = digest::count_rows(&mut *tx, rows, now, self.appraisal(&profiles)).await?;
            tx.commit().await?;
            Ok(ForeignCount { more: due == chunk, redacted })
        })
    }
}

/// Returns an update that marks uncounted rows up to the id `$2` as counted and returns them.
fn count_up_to<DB: dialect::Dialect>(_: &sqlx::Transaction<'_, DB>) -> String {
    count_sql::<DB>("id <= $2")
}

/// Returns an update that marks uncounted rows that satisfy `condition` as counted and returns them. Rows created after
/// `$1` may still be claimed.
pub(in crate::store) fn count_sql<DB: dialect::Dialect>(condition: &str) -> String {
    format!(
        "update ai_metrics set event_id = {} where event_id is null and {condition} returning {}",
        DB::FOREIGN_ID,
        DB::FOREIGN_VALUES.as_str()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_store_counts_fewer_rows_at_a_time_and_then_more_again() {
        let chunk = Chunk::new();
        let mut shrunk = vec![chunk.rows()];
        while chunk.shrink() {
            shrunk.push(chunk.rows());
        }
        assert_eq!(shrunk, [2_000, 1_000, 500, 250, 125, 62, 50]);
        for _ in 0..40 {
            chunk.grow();
        }
        assert_eq!(chunk.rows(), 2_000);
    }
}
