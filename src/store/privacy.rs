//! The rows of one person: in the receptionist app's tables, if they exist, in the events, and in the
//! service's tables that identify people by a hash.

mod anonymise;
pub(in crate::store) mod consents;
mod counted_only;
mod dynamic_sql;
mod erase;
mod find;
pub(in crate::store) mod requests;
mod schema;
mod scrub;

pub use erase::{Counts, Erased, Erasure, Mode};
pub use schema::Table;

use std::time::Duration;

use serde_json::value::RawValue;

use super::{Db, Store, StoreError, dialect};
use crate::event::Event;
use crate::privacy::subject::{Hasher, Selector, SubjectHash};
pub(super) use dynamic_sql::Rows;
use find::json_list;
use schema::Schema;

/// The time limit of finding and reading a person's rows: tables without an index are scanned.
const SEARCH_LIMIT: Duration = Duration::from_secs(7);

/// The maximum number of rows in an export.
pub const MAX_ROWS: usize = 100_000;

/// The maximum size of the rows in an export, in bytes of JSON.
pub const MAX_BYTES: usize = 32 * 1024 * 1024;

/// Identifiers that find a person's rows. They are personal data, so the type does not implement `Debug`.
#[derive(Clone, Default)]
pub struct SubjectTraces {
    /// Ids of their conversations.
    conversations: Vec<String>,
    /// Ids of their sessions.
    sessions: Vec<String>,
    /// Whether the request named the session, rather than a conversation that led to it. Then all rows of the
    /// session belong to the person, regardless of their conversation.
    named_session: bool,
    /// Ids of appointments with their e-mail address or phone number.
    appointments: Vec<String>,
    /// Ids of their events.
    events: Vec<i64>,
}

/// A condition of a query, and the values of its parameters from `$1` on.
struct Condition {
    sql: String,
    binds: Vec<String>,
}

impl Condition {
    fn add(&mut self, condition: impl FnOnce(usize) -> String, bind: String) {
        self.binds.push(bind);
        let condition = condition(self.binds.len());
        let or = if self.sql.is_empty() { "" } else { " or " };
        self.sql = format!("{}{or}({condition})", self.sql);
    }
}

impl SubjectTraces {
    /// Returns whether an event that is not in the store yet belongs to the person.
    #[must_use]
    pub fn include(&self, event: &Event) -> bool {
        let conversation = event.conversation_id.as_ref();
        conversation.is_some_and(|id| self.conversations.contains(id))
            || self.sessions.contains(&event.session_id) && (self.named_session || conversation.is_none())
    }

    /// Returns whether they have more events than one request may process.
    fn have_too_many_events(&self) -> bool {
        self.events.len() > find::MAX_EVENTS
    }

    /// Returns the hashes under which data about them may be stored: `named`, and those of their
    /// conversations and sessions.
    fn hashes(&self, named: SubjectHash, hasher: &Hasher) -> Vec<String> {
        let conversations = self.conversations.iter().filter_map(|id| Selector::conversation(id).ok());
        let sessions = self.sessions.iter().filter_map(|id| Selector::session(id).ok());
        let found = conversations.chain(sessions).map(|selector| hasher.hash(&selector));
        [named].into_iter().chain(found).map(|hash| hex::encode(hash.bytes())).collect()
    }

    /// Returns the condition of the person's rows in one of the app's tables or the events; `None` if it cannot have
    /// any.
    fn links<C: Rows>(&self, schema: &Schema, table: Table) -> Option<Condition> {
        let mut links = Condition { sql: String::new(), binds: Vec::new() };
        let own_id = table == Table::Conversations;
        let conversation = if own_id { "id" } else { "conversation_id" };
        if schema.has(table, conversation) && !self.conversations.is_empty() {
            let is_one = |n| format!("cast({conversation} as text) {}", C::any_text(n));
            links.add(is_one, json_list(&self.conversations));
        }
        if schema.has(table, "session_id") && !self.sessions.is_empty() {
            let any_conversation = self.named_session || !schema.has(table, "conversation_id");
            let rule = if any_conversation { "" } else { " and conversation_id is null" };
            let is_one = |n| format!("cast(session_id as text) {}{rule}", C::any_text(n));
            links.add(is_one, json_list(&self.sessions));
        }
        if table == Table::Appointments && !self.appointments.is_empty() {
            links.add(|n| format!("cast(id as text) {}", C::any_text(n)), json_list(&self.appointments));
        }
        (!links.sql.is_empty()).then_some(links)
    }

    /// Returns the condition of the person's rows in any table. `hashes` are those of [`SubjectTraces::hashes`].
    fn condition<C: Rows>(&self, schema: &Schema, table: Table, hashes: &[String]) -> Option<Condition> {
        let mut links = Condition { sql: String::new(), binds: Vec::new() };
        match table {
            Table::Events if self.events.is_empty() => return None,
            Table::Events => links.add(|n| format!("id {}", C::any_number(n)), json_list(&self.events)),
            Table::Consents | Table::Audit | Table::Requests => {
                schema.has(table, "subject").then_some(())?;
                links.add(|n| format!("subject {}", C::any_bytes(n)), json_list(hashes));
            }
            Table::Conversations | Table::Messages | Table::ChatMessages | Table::Appointments => {
                return self.links::<C>(schema, table);
            }
        }
        Some(links)
    }
}

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

/// All rows of a person.
#[derive(Debug)]
pub struct Extracts {
    /// The rows by table, of the tables that exist.
    pub tables: Vec<Extract>,
    /// Tables whose rows cannot be attributed to a person.
    pub unsearchable: Vec<&'static str>,
}

/// What the store has about a person, as found before an erasure.
pub struct FoundSubject {
    /// The identifiers that find their rows.
    pub traces: SubjectTraces,
    /// The number of their rows by table, of the tables that exist.
    pub counts: Counts,
    /// Tables whose rows cannot be attributed to a person.
    pub unsearchable: Vec<&'static str>,
}

/// Runs `$work` in a transaction that reads a snapshot of the store.
macro_rules! search {
    ($store:expr, |$tx:ident| $work:expr) => {
        super::on!(&$store.read, SEARCH_LIMIT, |conn| {
            let mut tx = dialect::begin_snapshot(conn).await?;
            dialect::extend_timeout(&mut *tx).await?;
            let $tx = &mut *tx;
            let done = $work;
            tx.rollback().await?;
            Ok(done)
        })
    };
}

impl Store {
    /// Returns whether an error means that another process had the SQLite file locked for too long.
    #[must_use]
    pub fn is_busy(&self, error: &StoreError) -> bool {
        matches!((&self.admin, error), (Db::Sqlite(_), StoreError::Unavailable(_)))
    }

    /// Finds the person that `selector` names, and counts their rows.
    pub async fn find_person(
        &self,
        selector: &Selector,
        hasher: &Hasher,
    ) -> Result<FoundSubject, SubjectError> {
        let found = search!(self, |tx| {
            let schema = Schema::read(tx).await?;
            let traces = find::find(tx, &schema, selector).await?;
            let counts = count(tx, &schema, &traces, &traces.hashes(hasher.hash(selector), hasher)).await?;
            FoundSubject { traces, counts, unsearchable: schema.unsearchable() }
        })?;
        if found.traces.have_too_many_events() { Err(SubjectError::TooMany) } else { Ok(found) }
    }

    /// Reads all rows of the person that `selector` names. Also returns the identifiers that find their rows
    /// elsewhere.
    pub async fn extract_person(
        &self,
        selector: &Selector,
        hasher: &Hasher,
    ) -> Result<(Extracts, SubjectTraces), SubjectError> {
        let (tables, unsearchable, traces) = search!(self, |tx| {
            let schema = Schema::read(tx).await?;
            let traces = find::find(tx, &schema, selector).await?;
            let subject_hashes = traces.hashes(hasher.hash(selector), hasher);
            (extract(tx, &schema, &traces, &subject_hashes).await?, schema.unsearchable(), traces)
        })?;
        match tables {
            Some(tables) if !traces.have_too_many_events() => Ok((Extracts { tables, unsearchable }, traces)),
            _ => Err(SubjectError::TooMany),
        }
    }
}

/// Counts a person's rows.
async fn count<C: Rows>(
    conn: &mut C,
    schema: &Schema,
    traces: &SubjectTraces,
    hashes: &[String],
) -> Result<Counts, sqlx::Error> {
    let mut counts = Counts::default();
    for table in Table::ERASED.into_iter().filter(|table| !schema.columns(*table).is_empty()) {
        let count = match traces.condition::<C>(schema, table, hashes) {
            Some(Condition { sql, binds }) => {
                let sql = format!("select cast(count(*) as text) from {} where {sql}", table.name());
                conn.number(sql, &binds).await?
            }
            None => 0,
        };
        counts.set(table.name(), count);
    }
    Ok(counts)
}

/// Reads a person's rows. Returns `None` if they exceed [`MAX_ROWS`] or [`MAX_BYTES`].
async fn extract<C: Rows>(
    conn: &mut C,
    schema: &Schema,
    traces: &SubjectTraces,
    hashes: &[String],
) -> Result<Option<Vec<Extract>>, sqlx::Error> {
    // Counting is cheap compared to reading rows in vain.
    if count(conn, schema, traces, hashes).await?.total() > MAX_ROWS as u64 {
        return Ok(None);
    }
    let (mut rows_left, mut bytes_left) = (MAX_ROWS, MAX_BYTES);
    let mut extracts = Vec::new();
    for table in schema.tables() {
        let (columns, mut rows, mut fits) = (schema.columns(table), Vec::new(), true);
        if let Some(Condition { sql, binds }) = traces.condition::<C>(schema, table, hashes) {
            let order = ["created_at", "at", "received_at", "seq", "id"];
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
