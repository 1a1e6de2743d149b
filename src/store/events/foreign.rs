//! Rows that another program inserted into `ai_metrics`. The receptionist app does so just before it calls `/track`, so a
//! young row is usually an event that is about to be reported.
//!
//! Such a row has no `event_id`. Counting it assigns it one that is derived from its `id` and encodes whether the row was
//! young: `/track` may still claim a young one, which then gets the event's own id and is not counted again.

use std::sync::LazyLock;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use sqlx::{AssertSqlSafe, ColumnIndex, Decode, FromRow, Type};

use crate::event::{COLUMNS, Column, Event, Getter, ReadColumn, Row};
use crate::rollup::{Key, Rollup};
use crate::store::rollups::AddRollup;
use crate::store::rollups::columns::list;
use crate::store::{CLAIM_MINUTES, Store, StoreError, WRITE_LIMIT, dialect};

/// Rows that are counted in one transaction.
const CHUNK: i64 = 2_000;

/// A row that another program inserted, as [`dialect::Dialect::FOREIGN_VALUES`] selects it.
pub(in crate::store) struct ForeignRow {
    /// Without its time.
    event: Event,
    created_at: Option<NaiveDateTime>,
}

/// A row of a driver.
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
                Ok(Self { event, created_at: DriverRow(row).read("created_at")? })
            }
        }
    )+};
}

foreign_rows_of!(sqlx::postgres::PgRow, sqlx::sqlite::SqliteRow);

impl ForeignRow {
    /// Returns the row as an event. A row without a time counts as of `now`.
    pub(in crate::store) fn into_event(self, now: DateTime<Utc>) -> Event {
        Event { at: self.created_at.map_or(now, |at| at.and_utc()), ..self.event }
    }
}

/// The values of foreign rows on Postgres.
pub(in crate::store) static POSTGRES_VALUES: LazyLock<String> = LazyLock::new(|| values(postgres_value));

/// The values of foreign rows on SQLite.
pub(in crate::store) static SQLITE_VALUES: LazyLock<String> = LazyLock::new(|| values(sqlite_value));

/// Returns what a row is selected as: a valid event, although nothing checked the row and counters must not go down. Strings
/// outside the key are left empty: no sum needs them, and they may identify a person.
fn values(value: fn(&Column) -> String) -> String {
    let columns = COLUMNS.iter().filter(|column| !matches!(column.get, Getter::Id(_)));
    list(columns.map(|column| match column.get {
        Getter::Text(_) if !Key::COLUMNS.contains(&column.name) => format!("'' as {}", column.name),
        _ => format!("{} as {}", value(column), column.name),
    }))
}

/// Returns the value of a column. Decimals may be NaN, times infinite.
fn postgres_value(Column { name, get }: &Column) -> String {
    match get {
        Getter::Id(_) | Getter::Text(_) => (*name).to_owned(),
        Getter::Int(_) => format!("case when {name} < 0 then 0 else {name} end"),
        Getter::SuccessRate(_) => format!(
            "case when {name} = 'NaN' then 0 else cast(least(greatest({name}, 0), 1) as double precision) end"
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

/// Returns the value of a column, which may have any type.
fn sqlite_value(Column { name, get }: &Column) -> String {
    match get {
        Getter::Id(_) | Getter::Text(_) => format!("cast({name} as text)"),
        Getter::Int(_) => format!("min(max(cast({name} as integer), 0), 2147483647)"),
        Getter::SuccessRate(_) => format!("min(max(cast({name} as real), 0.0), 1.0)"),
        Getter::Usd(_) => {
            format!("cast(round(min(max(cast({name} as real), 0.0), 9999.999999) * 1000000) as integer)")
        }
        Getter::Flag(_) => format!("coalesce(cast({name} as integer), 0) <> 0"),
        Getter::Time(_) => {
            format!("case when typeof({name}) = 'text' then strftime('%Y-%m-%d %H:%M:%f', {name}) end")
        }
    }
}

/// Counts the next rows, and finds the last of them. An update of everything up to it needs no join, which a planner that
/// expects hardly any such row would make quadratic.
const NEXT: &str = "select count(*), cast(max(id) as bigint) from (select id from ai_metrics where event_id is null order by id limit $1) next";

impl Store {
    /// Adds some of the uncounted rows to the rollups. Returns whether more may be left.
    pub async fn count_foreign_rows(&self, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let claimable_from = (now - TimeDelta::minutes(CLAIM_MINUTES)).naive_utc();
        on!(&self.write, WRITE_LIMIT, |conn| {
            let mut tx = dialect::begin(conn).await?;
            let next: (i64, Option<i64>) = sqlx::query_as(NEXT).bind(CHUNK).fetch_one(&mut *tx).await?;
            let (due, Some(last)) = next else { return Ok(false) };
            let rows: Vec<ForeignRow> = sqlx::query_as(AssertSqlSafe(count_up_to(&tx)))
                .bind(claimable_from)
                .bind(last)
                .fetch_all(&mut *tx)
                .await?;
            let events: Vec<Event> = rows.into_iter().map(|row| row.into_event(now)).collect();
            tx.add_rollup(&Rollup::of(&events, self.zone)).await?;
            tx.commit().await?;
            Ok(due == CHUNK)
        })
    }
}

/// Returns the statement that marks uncounted rows up to the id `$2` as counted, and returns them.
fn count_up_to<DB: dialect::Dialect>(_: &sqlx::Transaction<'_, DB>) -> String {
    count_sql::<DB>("id <= $2")
}

/// Returns the statement that marks the uncounted rows that satisfy `condition` as counted, and returns them. `$1` is the time
/// from which on a row may still be claimed.
pub(in crate::store) fn count_sql<DB: dialect::Dialect>(condition: &str) -> String {
    format!(
        "update ai_metrics set event_id = {} where event_id is null and {condition} returning {}",
        DB::FOREIGN_ID,
        DB::FOREIGN_VALUES.as_str()
    )
}
