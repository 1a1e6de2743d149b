//! The rows of one person: in the receptionist app's tables, if they exist, in the events, and in the
//! service's tables that identify people by a hash.

/// Runs `$work` in a transaction that reads a snapshot of the store.
macro_rules! search {
    ($store:expr, |$tx:ident| $work:expr) => {
        $crate::store::on!(&$store.read, $crate::store::privacy::SEARCH_LIMIT, |conn| {
            let mut tx = $crate::store::dialect::begin_snapshot(conn).await?;
            $crate::store::dialect::extend_timeout(&mut *tx).await?;
            let $tx = &mut *tx;
            let done = $work;
            tx.rollback().await?;
            Ok(done)
        })
    };
}

mod anonymise;
mod book;
mod completed;
pub(in crate::store) mod consents;
mod counted_only;
mod counts;
pub(in crate::store) mod customers;
mod dynamic_sql;
mod erase;
mod find;
mod mentions;
mod near;
pub(in crate::store) mod requests;
mod schema;
mod scrub;
pub(in crate::store) mod tombstones;
mod traces;

pub use counts::Counts;
pub use erase::{Erased, Erasure, Mode};
pub use find::Search;
pub(super) use find::json_list;
pub use mentions::Mentions;
pub use schema::Table;
pub use traces::SubjectTraces;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{Db, Store, StoreError};
use crate::privacy::subject::SubjectHash;
use dynamic_sql::Fields;
pub(super) use dynamic_sql::Rows;
use find::Found;
pub(super) use schema::Schema;
use traces::Condition;
use utoipa::ToSchema;

/// The time limit of finding and reading a person's rows: tables without an index are scanned.
const SEARCH_LIMIT: Duration = Duration::from_secs(5);

/// The maximum number of people behind a selector that are listed.
const MAX_PEOPLE: usize = 50;

/// The maximum number of rows in an export.
pub const MAX_ROWS: usize = 100_000;

/// The maximum size of the rows in an export, in bytes of JSON.
pub const MAX_BYTES: usize = 32 * 1024 * 1024;

/// Why a person's rows could not be processed.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// The person has more rows than one request may process.
    #[error("the person has too many rows for one request")]
    TooMany,
    /// The store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// A person's rows in one table.
#[derive(Debug)]
pub struct Extract {
    /// The table.
    pub table: Table,
    /// Its columns, in order.
    pub columns: Vec<String>,
    /// The rows, each a JSON object with every column.
    pub rows: Vec<Box<RawValue>>,
}

/// Rows of a table that a person has to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ListedRows {
    /// The name of the table.
    pub table: &'static str,
    /// The number of rows.
    pub rows: u64,
    /// Their ids, or the first of them.
    pub ids: Vec<String>,
}

/// What the store has about a person.
pub struct FoundSubject {
    /// The identifiers that find their rows.
    pub traces: SubjectTraces,
    /// The number of their rows by table, of the tables that exist.
    pub counts: Counts,
    /// The people behind the selector by their hashes.
    pub people: Vec<SubjectHash>,
    /// The number of rows of the first of them.
    pub rows: Vec<u64>,
    /// The businesses that have rows about them.
    pub businesses: Vec<String>,
    /// What may be theirs, for a person to decide, by table: ids of conversations that led to appointments of different people, and of
    /// appointments in their conversations that have another contact.
    pub undecided: Vec<ListedRows>,
    /// Tables whose rows were not searched, because nothing attributes them to a person.
    pub not_searched: Vec<String>,
}

impl Store {
    /// Returns whether an error means that another process had the SQLite file locked for too long.
    #[must_use]
    pub fn is_busy(&self, error: &StoreError) -> bool {
        matches!((&self.admin, error), (Db::Sqlite(_), StoreError::Unavailable(_)))
    }

    /// Finds a person and counts their rows.
    pub async fn find_person(&self, search: &Search<'_>) -> Result<FoundSubject, SubjectError> {
        let found = search!(self, |tx| {
            let schema = Schema::read(tx).await?;
            let found = find::find(tx, &schema, search).await?;
            describe(tx, &schema, search, found).await?
        })?;
        if found.traces.have_too_many_events() { Err(SubjectError::TooMany) } else { Ok(found) }
    }

    /// Finds the person's events again.
    pub async fn find_events(&self, traces: &mut SubjectTraces) -> Result<(), SubjectError> {
        traces.events = search!(self, |tx| find::events(tx, traces).await?)?;
        if traces.have_too_many_events() { Err(SubjectError::TooMany) } else { Ok(()) }
    }

    /// Reads all rows of a person who was found, of the tables that exist.
    pub async fn extract_person(
        &self,
        search: &Search<'_>,
        traces: &SubjectTraces,
    ) -> Result<Vec<Extract>, SubjectError> {
        let hashes = traces.hashes(search.selector, search.hasher);
        let tables = search!(self, |tx| {
            let schema = Schema::read(tx).await?;
            extract(tx, &schema, traces, &hashes).await?
        })?;
        tables.ok_or(SubjectError::TooMany)
    }
}

/// Counts what was found.
async fn describe<C: Rows>(
    conn: &mut C,
    schema: &Schema,
    search: &Search<'_>,
    found: Found,
) -> Result<FoundSubject, sqlx::Error> {
    let Found { traces, people, left_out } = found;
    let (counts, businesses) =
        count(conn, schema, &traces, &traces.hashes(search.selector, search.hasher)).await?;
    let (mut rows, is_one) = (Vec::new(), people.len() < 2);
    let hashes = people.iter().map(|(person, _)| search.hasher.hash(person)).collect();
    for (_, mut part) in people.into_iter().take(if is_one { 0 } else { MAX_PEOPLE }) {
        part.events = find::events(conn, &part).await?;
        rows.push(count(conn, schema, &part, &[]).await?.0.total());
    }
    let undecided = [(Table::Conversations, traces.disputed.clone()), (Table::Appointments, left_out)];
    let undecided = undecided.into_iter().filter(|(_, ids)| !ids.is_empty());
    let listed =
        |(table, ids): (Table, Vec<String>)| ListedRows { table: table.name(), rows: ids.len() as u64, ids };
    Ok(FoundSubject {
        traces,
        counts,
        people: hashes,
        rows,
        businesses: businesses.into_iter().collect(),
        undecided: undecided.map(listed).collect(),
        not_searched: schema.not_searched(conn).await?,
    })
}

/// Counts a person's rows. Also returns the businesses that have them.
async fn count<C: Rows>(
    conn: &mut C,
    schema: &Schema,
    traces: &SubjectTraces,
    hashes: &[String],
) -> Result<(Counts, BTreeSet<String>), sqlx::Error> {
    let (mut counts, mut businesses) = (Counts::default(), BTreeSet::new());
    for table in Table::ERASED.into_iter().filter(|table| !schema.columns(*table).is_empty()) {
        let mut count = 0;
        if let Some(Condition { sql, binds }) = traces.condition::<C>(schema, table, hashes) {
            let business = if schema.has(table, "business_id") { "business_id" } else { "null" };
            let sql = format!(
                "select business, cast(count(*) as text) from (
                    select cast({business} as text) as business from {} where {sql}) of_person group by business",
                table.name()
            );
            let mut collect = |mut fields: Fields| {
                count += fields.pop().flatten().and_then(|rows| rows.parse::<u64>().ok()).unwrap_or(0);
                businesses.extend(fields.pop().flatten());
                true
            };
            conn.read(sql, &binds, &mut collect).await?;
        }
        counts.set(table.name(), count);
    }
    Ok((counts, businesses))
}

/// Reads a person's rows. Returns `None` if they exceed [`MAX_ROWS`] or [`MAX_BYTES`].
async fn extract<C: Rows>(
    conn: &mut C,
    schema: &Schema,
    traces: &SubjectTraces,
    hashes: &[String],
) -> Result<Option<Vec<Extract>>, sqlx::Error> {
    // Counting is cheap compared to reading rows in vain.
    if count(conn, schema, traces, hashes).await?.0.total() > MAX_ROWS as u64 {
        return Ok(None);
    }
    let (mut rows_left, mut bytes_left) = (MAX_ROWS, MAX_BYTES);
    let mut extracts = Vec::new();
    for table in schema.tables() {
        let (columns, mut rows, mut fits) = (schema.columns(table), Vec::new(), true);
        if let Some(Condition { sql, binds }) = traces.condition::<C>(schema, table, hashes) {
            let order =
                ["created_at", "at", "received_at", "first_at", "occurred_at", "held_at", "seq", "id"];
            let order = order.into_iter().filter(|column| schema.has(table, column));
            let order = order.take(2).collect::<Vec<_>>().join(", ");
            let order = if order.is_empty() { order } else { format!(" order by {order}") };
            let sql = format!("select {} from {} t where {sql}{order}", C::json(columns), table.name());
            let mut collect = |mut fields: Vec<Option<String>>| {
                let Some(json) = fields.first_mut().and_then(Option::take) else { return true };
                fits = rows_left > 0 && bytes_left >= json.len();
                rows_left = rows_left.saturating_sub(1);
                bytes_left = bytes_left.saturating_sub(json.len());
                rows.extend(RawValue::from_string(json).ok().filter(|_| fits));
                fits
            };
            conn.read(sql, &binds, &mut collect).await?;
        }
        if !fits {
            return Ok(None);
        }
        let columns = columns.iter().map(|column| column.name.clone()).collect();
        extracts.push(Extract { table, columns, rows });
    }
    Ok(Some(extracts))
}
