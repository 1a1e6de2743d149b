//! Erases a person's rows in one transaction.
//!
//! The transaction never waits for rows of events that another has locked, so it cannot deadlock with writers
//! of events; it is retried instead. For the app's own tables it waits for a short time.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::sleep;

use super::counts::Counts;
use super::customers::Conversations;
use super::dynamic_sql::Rows;
use super::find::{Search, appointments_of, json_list};
use super::requests::{Completion, complete};
use super::schema::{COUNTED_EVENTS, Schema, Table};
use super::traces::{Condition, SubjectTraces};
use super::{SubjectError, anonymise, book, tombstones};
use crate::audit::Entry;
use crate::business::Profiles;
use crate::clock::timestamp;
use crate::event::Event;
use crate::rollup::Rollup;
use crate::store::audit::Append;
use crate::store::{Store, StoreError, dialect};

/// The time limit of one attempt.
const ERASE_LIMIT: Duration = Duration::from_secs(4);

/// The number of attempts when another transaction has a lock.
const MAX_ATTEMPTS: u32 = 3;

/// How long it is known that a conversation was of several people: as long as it may be there.
const FOREVER: DateTime<Utc> =
    DateTime::from_timestamp(253_402_300_799, 0).expect("the last second of the year 9999");

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// What happens to appointments and events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They are deleted.
    Delete,
    /// They stay without personal data.
    Anonymise,
}

impl Mode {
    /// Returns its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Anonymise => "anonymise",
        }
    }

    fn keeps(self, table: Table) -> bool {
        let has_sums = match table {
            Table::Appointments | Table::Events => true,
            Table::Conversations
            | Table::Messages
            | Table::ChatMessages
            | Table::Facts
            | Table::Outcomes
            | Table::Book
            | Table::Consents
            | Table::Audit
            | Table::Requests => false,
        };
        self == Self::Anonymise && has_sums
    }
}

/// What an erasure did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Erased {
    /// Deleted rows by table, of the tables that exist, and events removed from the spool.
    pub deleted: Counts,
    /// Anonymised rows by table.
    pub anonymised: Counts,
    /// Whether it counted rows that no rollup included yet.
    pub counted: bool,
}

/// What to erase, and what to record with it.
pub struct Erasure<'e> {
    /// Whom it is about.
    pub search: Search<'e>,
    /// The identifiers that find the person's rows.
    pub traces: &'e SubjectTraces,
    /// What happens to appointments and events.
    pub mode: Mode,
    /// The number of their events that were removed from the spool.
    pub spooled: u64,
    /// The current time.
    pub at: DateTime<Utc>,
    /// How long events of the erased conversations and sessions are not kept.
    pub until: DateTime<Utc>,
    /// Returns the audit entry and the completed request for what was erased.
    pub note: &'e (dyn Fn(&Erased) -> (Entry, Completion) + Sync),
}

/// The result of an attempt.
enum Attempt {
    /// The person has no rows.
    Nothing,
    /// Another transaction has locked some of the rows.
    Locked,
    /// The person was erased.
    Done(Erased),
}

impl Store {
    /// Erases a person and records it in the audit trail and the list of requests, in one transaction.
    /// Returns `None` if the person has no rows.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if another transaction has a lock.
    pub async fn erase_person(&self, erasure: &Erasure<'_>) -> Result<Option<Erased>, SubjectError> {
        for attempt in 1.. {
            let done = self.try_erase(erasure).await;
            match done {
                Ok(Attempt::Done(erased)) => return Ok(Some(erased)),
                Ok(Attempt::Nothing) => return Ok(None),
                Ok(Attempt::Locked) | Err(StoreError::Conflict(_)) if attempt < MAX_ATTEMPTS => {
                    sleep(PAUSE).await;
                }
                Err(error) if self.is_busy(&error) && attempt < MAX_ATTEMPTS => sleep(PAUSE).await,
                Ok(Attempt::Locked) => return Err(StoreError::Conflict("locked".to_owned()).into()),
                Err(error) => return Err(error.into()),
            }
        }
        unreachable!("the last attempt returns")
    }

    async fn try_erase(&self, erasure: &Erasure<'_>) -> Result<Attempt, StoreError> {
        crate::store::on!(&self.admin, ERASE_LIMIT, |conn| {
            let mut tx = dialect::begin(conn).await?;
            let attempt = erase(&mut *tx, erasure, &self.profiles.current()).await?;
            match attempt {
                Attempt::Done(_) => tx.commit().await?,
                Attempt::Nothing | Attempt::Locked => tx.rollback().await?,
            }
            Ok(attempt)
        })
    }
}

async fn erase<C: Rows + Append>(
    conn: &mut C,
    erasure: &Erasure<'_>,
    profiles: &Profiles,
) -> Result<Attempt, sqlx::Error> {
    conn.texts(C::SHORT_TIMEOUTS.to_owned(), &[]).await?;
    // A digest under way would write facts and bookings anew that it read before.
    conn.run(C::LOCK_DIGEST.to_owned(), &[]).await?;
    let schema = Schema::read(conn).await?;
    let events = json_list(&erasure.traces.events);
    if !lock(conn, &schema, erasure.traces, &events).await? {
        return Ok(Attempt::Locked);
    }
    let mut erased =
        Erased { counted: count_uncounted(conn, &events, erasure.at, profiles).await?, ..Erased::default() };
    if !erasure.mode.keeps(Table::Events) && schema.has_counted_events() {
        record_keys(conn, &events, erasure.at).await?;
    }
    let Search { selector, hasher, .. } = erasure.search;
    let traces = with_late_appointments(conn, &schema, erasure).await?;
    let hashes = traces.hashes(selector, hasher);
    let unlinked = book::let_stay(conn, &schema, &traces).await?;
    for table in Table::ERASED.into_iter().filter(|table| !schema.columns(*table).is_empty()) {
        let condition = traces.condition::<C>(&schema, table, &hashes);
        let rows = match condition {
            Some(condition) => erase_from(conn, &schema, table, erasure.mode, condition).await?,
            None => 0,
        };
        if erasure.mode.keeps(table) { &mut erased.anonymised } else { &mut erased.deleted }
            .set(table.name(), rows);
    }
    // What stays of these rows says nothing about the person any more.
    erased.deleted.set(Table::Book.name(), erased.deleted.of(Table::Book.name()) + unlinked);
    erased.deleted.set("spool", erasure.spooled);
    if erased.deleted.total() + erased.anonymised.total() == 0 {
        return Ok(Attempt::Nothing);
    }
    tombstones::add(conn, &traces.tombstones(hasher), erasure.until).await?;
    tombstones::add(conn, &traces.disputes(hasher), FOREVER).await?;
    let (entry, done) = (erasure.note)(&erased);
    complete(conn, &done).await?;
    conn.append(erasure.at, &entry).await?;
    Ok(Attempt::Done(erased))
}

/// Locks the person's events and conversations, so that no rows are added to these. Returns whether it could.
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
    if let Some(Condition { sql, binds }) = traces.app_links::<C>(schema, Table::Conversations) {
        let lock = C::LOCK;
        let sql = format!("select cast(id as text) from conversations where {sql} order by id{lock}");
        conn.texts(sql, &binds).await?;
    }
    Ok(true)
}

/// Counts the person's events that no rollup includes yet, so that the counters include them. Returns whether
/// there were any.
async fn count_uncounted<C: Rows>(
    conn: &mut C,
    events: &str,
    at: DateTime<Utc>,
    profiles: &Profiles,
) -> Result<bool, sqlx::Error> {
    let uncounted = conn.count_uncounted(events).await?;
    let uncounted: Vec<Event> = uncounted.into_iter().map(|row| row.into_event(at).0).collect();
    conn.add_rollup(&Rollup::of(&uncounted, profiles)).await?;
    Ok(!uncounted.is_empty())
}

/// Returns the traces with the appointments that came since they were found, of conversations that are locked now.
async fn with_late_appointments<C: Rows>(
    conn: &mut C,
    schema: &Schema,
    erasure: &Erasure<'_>,
) -> Result<SubjectTraces, sqlx::Error> {
    let mut traces = erasure.traces.clone();
    let conversations =
        Conversations::read(conn, schema, &traces.app_conversations, erasure.search.hasher.reader).await?;
    let business = erasure.search.business;
    for id in &erasure.traces.app_conversations {
        let (own, _) = appointments_of(&conversations, id, &conversations.owner(id, business), business);
        let late = own.into_iter().map(|row| row.id.clone());
        traces.appointments.extend(late.filter(|id| !erasure.traces.appointments.contains(id)));
    }
    Ok(traces)
}

/// Records the keys of events that are deleted, so that a repeated event is neither counted again nor stored.
pub(super) async fn record_keys<C: Rows>(
    conn: &mut C,
    events: &str,
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let sql = format!(
        "insert into {COUNTED_EVENTS} (event_id, business_id, at) select event_id, business_id, {} from ai_metrics
         where id {} and event_id is not null on conflict (event_id, business_id) do nothing",
        C::time(2),
        C::any_number(1)
    );
    conn.run(sql, &[events.to_owned(), timestamp(at)]).await.map(drop)
}

/// Deletes or anonymises rows. Returns their number.
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
