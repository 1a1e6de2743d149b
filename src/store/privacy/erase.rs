//! Erases a person, in one transaction.
//!
//! It never waits for events that somebody else has locked, so it cannot stand in a circle with those who write events;
//! it begins anew instead. For the app's own tables it waits a moment.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::time::sleep;

use super::dynamic_sql::Rows;
use super::find::json_list;
use super::requests::{Completion, complete};
use super::schema::{COUNTED_EVENTS, Schema, Table};
use super::{Condition, SubjectError, SubjectTraces, anonymise};
use crate::audit::Entry;
use crate::clock::timestamp;
use crate::event::Event;
use crate::privacy::subject::{Hasher, SubjectHash};
use crate::rollup::Rollup;
use crate::store::audit::Append;
use crate::store::{Store, StoreError, dialect};

/// How long one attempt may take.
const ERASE_LIMIT: Duration = Duration::from_secs(4);

/// How often it is tried when somebody else is in the way.
const MAX_ATTEMPTS: u32 = 3;

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// What becomes of appointments and events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They are deleted.
    Delete,
    /// They stay, without the person.
    Anonymise,
}

impl Mode {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Anonymise => "anonymise",
        }
    }

    fn keeps(self, table: Table) -> bool {
        self == Self::Anonymise && matches!(table, Table::Appointments | Table::Events)
    }
}

/// Rows by table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Counts(BTreeMap<&'static str, u64>);

impl Counts {
    /// Notes how many rows of a table there are.
    pub fn set(&mut self, table: &'static str, rows: u64) {
        self.0.insert(table, rows);
    }

    /// How many rows of a table there are.
    #[must_use]
    pub fn of(&self, table: &str) -> u64 {
        self.0.get(table).copied().unwrap_or(0)
    }

    /// How many rows there are in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// As a JSON object.
    #[must_use]
    pub fn to_json(&self) -> Map<String, Value> {
        self.0.iter().map(|(table, rows)| ((*table).to_owned(), (*rows).into())).collect()
    }
}

/// What an erasure did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Erased {
    /// Rows that were deleted, by table; of those that are there. What was taken out of the spool is among them.
    pub deleted: Counts,
    /// Rows that stay without the person.
    pub anonymised: Counts,
    /// Whether rows were counted on the way which no rollup held yet.
    pub counted: bool,
}

/// What is to be erased, and what is noted with it.
pub struct Erasure<'e> {
    /// What leads to the person's rows.
    pub traces: &'e SubjectTraces,
    /// The hash of what named the person.
    pub subject: SubjectHash,
    /// Makes those of the ids that were found.
    pub hasher: &'e Hasher,
    /// What becomes of appointments and events.
    pub mode: Mode,
    /// Events of theirs that were taken out of the spool.
    pub spooled: u64,
    /// Now.
    pub at: DateTime<Utc>,
    /// The entry of the audit trail, and what the list of requests gets, for what was done.
    pub note: &'e (dyn Fn(&Erased) -> (Entry, Completion) + Sync),
}

/// How an attempt went.
enum Attempt {
    /// There is nothing of the person.
    Nothing,
    /// Somebody else has locked some of it.
    InTheWay,
    /// It is done.
    Completion(Erased),
}

impl Store {
    /// Erases a person, and notes it in the audit trail and on the list of requests; all of it or nothing. `None` if there
    /// is nothing of them. An error [`StoreError::Conflict`] says that somebody else holds a lock.
    pub async fn erase_person(&self, erasure: &Erasure<'_>) -> Result<Option<Erased>, SubjectError> {
        for attempt in 1.. {
            let done = self.try_to_erase(erasure).await;
            match done {
                Ok(Attempt::Completion(erased)) => return Ok(Some(erased)),
                Ok(Attempt::Nothing) => return Ok(None),
                Ok(Attempt::InTheWay) | Err(StoreError::Conflict(_)) if attempt < MAX_ATTEMPTS => {
                    sleep(PAUSE).await;
                }
                Err(error) if self.is_busy(&error) && attempt < MAX_ATTEMPTS => sleep(PAUSE).await,
                Ok(Attempt::InTheWay) => return Err(StoreError::Conflict("locked".to_owned()).into()),
                Err(error) => return Err(error.into()),
            }
        }
        unreachable!("the last attempt returns")
    }

    async fn try_to_erase(&self, erasure: &Erasure<'_>) -> Result<Attempt, StoreError> {
        crate::store::on!(&self.admin, ERASE_LIMIT, |conn| {
            let mut tx = dialect::begin(conn).await?;
            let attempt = erase(&mut *tx, erasure, self.zone).await?;
            match attempt {
                Attempt::Completion(_) => tx.commit().await?,
                Attempt::Nothing | Attempt::InTheWay => tx.rollback().await?,
            }
            Ok(attempt)
        })
    }
}

async fn erase<C: Rows + Append>(
    conn: &mut C,
    erasure: &Erasure<'_>,
    zone: Tz,
) -> Result<Attempt, sqlx::Error> {
    conn.texts(C::IMPATIENT.to_owned(), &[]).await?;
    let schema = Schema::read(conn).await?;
    let events = json_list(&erasure.traces.events);
    if !lock(conn, &schema, erasure.traces, &events).await? {
        return Ok(Attempt::InTheWay);
    }
    let mut erased =
        Erased { counted: count_uncounted(conn, &events, erasure.at, zone).await?, ..Erased::default() };
    remember_ids(conn, &schema, &events, erasure).await?;
    let hashes = erasure.traces.hashes(erasure.subject, erasure.hasher);
    for table in Table::ERASED.into_iter().filter(|table| !schema.columns(*table).is_empty()) {
        let condition = erasure.traces.condition::<C>(&schema, table, &hashes);
        let rows = match condition {
            Some(condition) => erase_from(conn, &schema, table, erasure.mode, condition).await?,
            None => 0,
        };
        if erasure.mode.keeps(table) { &mut erased.anonymised } else { &mut erased.deleted }
            .set(table.name(), rows);
    }
    erased.deleted.set("spool", erasure.spooled);
    if erased.deleted.total() + erased.anonymised.total() == 0 {
        return Ok(Attempt::Nothing);
    }
    let (entry, done) = (erasure.note)(&erased);
    complete(conn, &done).await?;
    conn.append(erasure.at, &entry).await?;
    Ok(Attempt::Completion(erased))
}

/// Locks the person's events and conversations, so that nobody adds to these; says whether it could.
async fn lock<C: Rows>(
    conn: &mut C,
    schema: &Schema,
    traces: &SubjectTraces,
    events: &str,
) -> Result<bool, sqlx::Error> {
    if C::LOCK.is_empty() {
        return Ok(true);
    }
    if !traces.events.is_empty() {
        let (is_one, free) = (C::any_number(1), C::LOCK_FREE);
        let binds = [events.to_owned()];
        let locked = format!(
            "select cast(count(*) as text) from (select id from ai_metrics where id {is_one} order by id{free}) locked"
        );
        let there = format!("select cast(count(*) as text) from ai_metrics where id {is_one}");
        if conn.number(locked, &binds).await? < conn.number(there, &binds).await? {
            return Ok(false);
        }
    }
    if let Some(Condition { sql, binds }) = traces.links::<C>(schema, Table::Conversations) {
        let lock = C::LOCK;
        let sql = format!("select cast(id as text) from conversations where {sql} order by id{lock}");
        conn.texts(sql, &binds).await?;
    }
    Ok(true)
}

/// Counts those of the person's events that no rollup holds yet, so that no counter lacks them; says whether there were any.
async fn count_uncounted<C: Rows>(
    conn: &mut C,
    events: &str,
    at: DateTime<Utc>,
    zone: Tz,
) -> Result<bool, sqlx::Error> {
    let uncounted = conn.count_uncounted(events).await?;
    let uncounted: Vec<Event> = uncounted.into_iter().map(|row| row.into_event(at)).collect();
    conn.add_rollup(&Rollup::of(&uncounted, zone)).await?;
    Ok(!uncounted.is_empty())
}

/// Notes the ids of events that are deleted, so that one that is sent again is not counted again, nor stored.
async fn remember_ids<C: Rows>(
    conn: &mut C,
    schema: &Schema,
    events: &str,
    erasure: &Erasure<'_>,
) -> Result<(), sqlx::Error> {
    if erasure.mode.keeps(Table::Events) || !schema.keeps_ids() {
        return Ok(());
    }
    let sql = format!(
        "insert into {COUNTED_EVENTS} (event_id, at) select event_id, {} from ai_metrics
         where id {} and event_id is not null on conflict (event_id) do nothing",
        C::time(2),
        C::any_number(1)
    );
    conn.run(sql, &[events.to_owned(), timestamp(erasure.at)]).await.map(drop)
}

/// Deletes rows, or makes them anonymous; gives their number.
async fn erase_from<C: Rows>(
    conn: &mut C,
    schema: &Schema,
    table: Table,
    mode: Mode,
    Condition { sql, binds }: Condition,
) -> Result<u64, sqlx::Error> {
    let name = table.name();
    if !mode.keeps(table) {
        return conn.run(format!("delete from {name} where {sql}"), &binds).await;
    }
    match anonymise::assignments(schema, table) {
        Some(assignments) => conn.run(format!("update {name} set {assignments} where {sql}"), &binds).await,
        None => Ok(0),
    }
}
