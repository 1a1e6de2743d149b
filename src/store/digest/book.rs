//! Reads the receptionist app's book: its appointments that came from conversations. A right to read the table is enough.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::outcomes::settle;
use super::post::bearer;
use super::{facts, sums};
use crate::business::Profiles;
use crate::conversation::{ConversationKey, FactSums, TotalKind};
use crate::event::{Event, PLACEHOLDER_IDS};
use crate::store::privacy::tombstones;
use crate::store::{Db, READ_LIMIT, Store, StoreError, dialect};

/// The time limit of reading a part of the book.
const BOOK_LIMIT: Duration = Duration::from_secs(12);

/// The number of appointments that are brought up to date in one transaction.
const APPOINTMENTS: i64 = 1_000;

/// Selects the columns of the app's table that may be read, with their types; none if it does not exist.
const COLUMNS: &str = "select cast(attname as text), format_type(atttypid, null) from pg_attribute
    where attrelid = to_regclass('appointments') and attnum > 0 and not attisdropped
      and has_column_privilege(attrelid, attnum, 'select')";

/// Whether the app's book can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Book {
    /// The app's appointments are not in the same database.
    None,
    /// They are, but these columns are missing or may not be read.
    Lacks(Vec<&'static str>),
    /// They can be read.
    Shared,
}

/// The columns of the app's table that reading the book needs.
const NEEDED: [&str; 4] = ["id", "business_id", "conversation_id", "status"];

/// An appointment that came, changed or vanished since the book was last read.
struct Change {
    appointment_id: String,
    business_id: String,
    conversation_id: String,
    /// `None`: it vanished.
    outcome: Option<String>,
    held_at: Option<NaiveDateTime>,
    conversation_before: Option<String>,
    outcome_before: Option<String>,
    without_facts_on: Option<NaiveDate>,
}

from_row!(sqlx::postgres::PgRow => Change {
    appointment_id,
    business_id,
    conversation_id,
    outcome,
    held_at,
    conversation_before,
    outcome_before,
    without_facts_on,
});

impl Store {
    /// Returns whether the app's appointments are in the same database and can be read, as last looked up.
    #[must_use]
    pub fn shares_book(&self) -> bool {
        self.shares_book.load(Ordering::Relaxed)
    }

    /// Looks up whether the app's book can be read.
    pub async fn book(&self) -> Result<Book, StoreError> {
        const IS_THERE: &str = "select to_regclass('appointments') is not null";
        let Db::Postgres(db) = &self.read else { return Ok(Book::None) };
        on!(@run db, READ_LIMIT, conn, {
            if !sqlx::query_scalar(IS_THERE).fetch_one(&mut *conn).await? {
                return Ok(Book::None);
            }
            let columns: Vec<(String, String)> = sqlx::query_as(COLUMNS).fetch_all(conn).await?;
            let lacks: Vec<&str> = lacking(&columns).collect();
            Ok(if lacks.is_empty() { Book::Shared } else { Book::Lacks(lacks) })
        })
    }

    /// Brings what is known of the app's book up to date. Returns whether more may be left.
    pub async fn read_book(&self, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let Db::Postgres(db) = &self.admin else { return Ok(false) };
        let profiles = self.profiles.current();
        on!(@run db, BOOK_LIMIT, conn, {
            let columns: Vec<(String, String)> = sqlx::query_as(COLUMNS).fetch_all(&mut *conn).await?;
            let query = changes_sql(&columns, self.keeping.by_consent);
            self.shares_book.store(query.is_some(), Ordering::Relaxed);
            let Some(query) = query else { return Ok(false) };
            let mut tx = conn.begin().await?;
            dialect::extend_timeout(&mut *tx).await?;
            // Looked for before the lock is taken, because it reads the whole table.
            let changed: Vec<Change> = sqlx::query_as(AssertSqlSafe(query("cardinality($2::text[]) = 0")))
                .bind(APPOINTMENTS).bind(&[] as &[String]).fetch_all(&mut *tx).await?;
            if changed.is_empty() {
                return Ok(false);
            }
            let is_full = changed.len().try_into() == Ok(APPOINTMENTS);
            dialect::lock_digest(&mut *tx).await?;
            let ids: Vec<&str> = changed.iter().map(|change| change.appointment_id.as_str()).collect();
            let sql = AssertSqlSafe(query("appointment_id = any($2::text[])"));
            let changed: Vec<Change> = sqlx::query_as(sql).bind(APPOINTMENTS).bind(&ids).fetch_all(&mut *tx).await?;
            let buried = self.buried(&mut tx, &changed, now).await?;
            apply(&mut tx, changed, &buried, &profiles, now).await?;
            tx.commit().await?;
            Ok(is_full)
        })
    }
}

impl Store {
    /// Returns the ids of the appointments that are not to be read: those of conversations that were erased, which the app may go on
    /// using, and those with ids that no event can have.
    async fn buried(
        &self,
        conn: &mut PgConnection,
        changed: &[Change],
        now: DateTime<Utc>,
    ) -> Result<HashSet<String>, sqlx::Error> {
        let bearers = changed.iter().map(|change| bearer(&change.key(&change.conversation_id), now));
        let (named, unnamed): (Vec<_>, Vec<_>) =
            changed.iter().zip(bearers).partition(|(_, bearer)| bearer.is_some());
        let mut buried: HashSet<String> =
            unnamed.iter().map(|(change, _)| change.appointment_id.clone()).collect();
        if let Some(hasher) = &self.keeping.hasher {
            let events: Vec<Event> = named.iter().filter_map(|(_, bearer)| bearer.clone()).collect();
            let erased = tombstones::erased(conn, &events, hasher).await?;
            let erased = named.iter().zip(erased).filter(|(_, erased)| *erased);
            buried.extend(erased.map(|((change, _), _)| change.appointment_id.clone()));
        }
        Ok(buried)
    }
}

/// Returns those of the [`NEEDED`] columns that are not among `columns`.
fn lacking(columns: &[(String, String)]) -> impl Iterator<Item = &'static str> {
    NEEDED.into_iter().filter(|needed| columns.iter().all(|(column, _)| column != needed))
}

/// Returns what makes the query for at most `$1` appointments that changed and satisfy a condition; `None` if a column is missing. An
/// appointment keeps its conversation when the app forgets it. If consent is required, only conversations with facts matter.
fn changes_sql(columns: &[(String, String)], by_consent: bool) -> Option<impl Fn(&str) -> String> {
    let of_type =
        |name: &str| columns.iter().find(|(column, _)| column == name).map(|(_, of_type)| of_type.as_str());
    if lacking(columns).next().is_some() {
        return None;
    }
    let held_at = match (of_type("appointment_date"), of_type("appointment_time")) {
        (Some("date"), Some("time without time zone")) => {
            "appointment_date + coalesce(appointment_time, '00:00')"
        }
        (Some("date"), _) => "cast(appointment_date as timestamp)",
        _ => "cast(null as timestamp)",
    };
    let held_at = format!("case when isfinite({held_at}) then {held_at} end");
    let known = match by_consent {
        true => {
            "exists (select from mlops_conversations f where f.business_id = a.business_id and f.conversation_id = a.conversation_id)"
        }
        false => "true",
    };
    let placeholders = PLACEHOLDER_IDS.map(|id| format!("'{id}'")).join(", ");
    Some(move |condition: &str| {
        format!(
        "with app as (
            select cast(id as text) as appointment_id, cast(business_id as text) as business_id,
                case when lower(trim(cast(conversation_id as text))) not in ({placeholders}) then cast(conversation_id as text)
                    end as conversation_id,
                case lower(cast(status as text)) when 'completed' then 'kept' when 'cancelled' then 'cancelled'
                    when 'canceled' then 'cancelled' else 'booked' end as outcome,
                {held_at} as held_at
            from appointments
        ), changed as (
            select a.appointment_id, a.business_id, coalesce(a.conversation_id, b.conversation_id) as conversation_id,
                a.outcome, a.held_at, b.conversation_id as conversation_before, b.outcome as outcome_before,
                b.without_facts_on
            from app a left join mlops_book b on b.appointment_id = a.appointment_id
            where b.settled is not true and a.business_id is not null
              and coalesce(a.conversation_id, b.conversation_id) is not null
              and (b.appointment_id is null and {known}
                   or b.appointment_id is not null
                      and (b.conversation_id, b.outcome, b.held_at)
                          is distinct from (coalesce(a.conversation_id, b.conversation_id), a.outcome, a.held_at))
        ), vanished as (
            select b.appointment_id, b.business_id, b.conversation_id, null as outcome, null::timestamp as held_at,
                b.conversation_id as conversation_before, b.outcome as outcome_before, b.without_facts_on
            from mlops_book b
            where not b.settled and not exists (select from app a where a.appointment_id = b.appointment_id)
        ) select * from changed where {condition} union all select * from vanished where {condition} limit $1"
    )
    })
}

/// Brings the book, the facts and the sums up to date with changes.
async fn apply(
    conn: &mut PgConnection,
    changes: Vec<Change>,
    buried: &HashSet<String>,
    profiles: &Profiles,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let mut keys = BTreeSet::new();
    for change in &changes {
        keys.insert(change.key(&change.conversation_id));
        keys.extend(change.conversation_before.as_ref().map(|before| change.key(before)));
    }
    let facts = facts::load(conn, &keys.iter().cloned().collect::<Vec<_>>()).await?;
    let mut sums = FactSums::default();
    for change in changes {
        if buried.contains(&change.appointment_id) {
            change.bury(conn).await?;
            continue;
        }
        let has_facts = facts.contains_key(&change.key(&change.conversation_id));
        let held_on = change.held_at.map(|held_at| held_at.date());
        let day = held_on.unwrap_or_else(|| profiles.day(&change.business_id, now));
        let day = change.outcome.is_some().then_some(day).filter(|_| !has_facts);
        change.count(&mut sums, day);
        change.store(conn, day).await?;
    }
    settle(conn, &facts, &keys, &mut sums).await?;
    sums::add(conn, &sums).await
}

impl Change {
    fn key(&self, conversation_id: &str) -> ConversationKey {
        ConversationKey { business_id: self.business_id.clone(), conversation_id: conversation_id.to_owned() }
    }

    /// Notes that it is not to be read, without its conversation.
    async fn bury(&self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        const BURY: &str =
            "insert into mlops_book (appointment_id, business_id, conversation_id, outcome, settled)
            values ($1, $2, '', 'booked', true)
            on conflict (appointment_id) do update set conversation_id = '', settled = true";
        let bury = sqlx::query(BURY).bind(&self.appointment_id).bind(&self.business_id);
        bury.execute(conn).await.map(drop)
    }

    /// Counts it. `day` is the day of an outcome whose conversation has no facts.
    fn count(&self, sums: &mut FactSums, day: Option<NaiveDate>) {
        let mut outcome = |day, name: &String, times| {
            sums.outcomes.of(&self.business_id, day, name.clone()).outcomes += times;
        };
        if let (Some(day), Some(before)) = (self.without_facts_on, &self.outcome_before) {
            outcome(day, before, -1);
        }
        let Some(name) = &self.outcome else { return };
        if let Some(day) = day {
            outcome(day, name, 1);
        }
        if self.outcome_before.as_ref() != Some(name) {
            sums.totals.add(&self.business_id, TotalKind::Outcomes, name, 1);
        }
    }

    async fn store(&self, conn: &mut PgConnection, day: Option<NaiveDate>) -> Result<(), sqlx::Error> {
        const STORE: &str = "insert into mlops_book
                (appointment_id, business_id, conversation_id, outcome, held_at, without_facts_on)
            values ($1, $2, $3, $4, $5, $6)
            on conflict (appointment_id) do update set business_id = excluded.business_id,
                conversation_id = excluded.conversation_id, outcome = excluded.outcome, held_at = excluded.held_at,
                without_facts_on = excluded.without_facts_on";
        const REMOVE: &str = "delete from mlops_book where appointment_id = $1";
        let query = match &self.outcome {
            None => sqlx::query(REMOVE).bind(&self.appointment_id),
            Some(outcome) => sqlx::query(STORE)
                .bind(&self.appointment_id)
                .bind(&self.business_id)
                .bind(&self.conversation_id)
                .bind(outcome)
                .bind(self.held_at)
                .bind(day),
        };
        query.execute(conn).await.map(drop)
    }
}
