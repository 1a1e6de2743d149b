//! Tombstones of erased conversations and sessions, by keyed hashes: events that name them are counted and not kept.
//!
//! An erasure first adds tombstones that last for a moment. For that it waits for the batches under way, and every later one sees
//! them, so that nothing is stored any more that it will not find. With what it erases they become lasting.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::dynamic_sql::Rows;
use super::find::json_list;
use super::traces::SubjectTraces;
use crate::clock::timestamp;
use crate::event::{Event, is_placeholder_id};
use crate::privacy::subject::{Buried, Hasher};
use crate::store::{Store, StoreError, WRITE_LIMIT, dialect};

/// How long tombstones last while an erasure is under way: longer than any takes, so that a crash leaves none for long.
const LEASE: TimeDelta = TimeDelta::minutes(1);

/// Returns what of an event may have a tombstone: its conversation or, without one, its session.
fn named(event: &Event) -> Option<(Buried, &str)> {
    let (kind, id) = match &event.conversation_id {
        Some(id) => (Buried::Conversation, id),
        None => (Buried::Session, &event.session_id),
    };
    (!is_placeholder_id(id)).then_some((kind, id))
}

/// Returns the mark of the tombstones that may concern an event, whatever their business: a few bytes, because each batch carries them.
pub(in crate::store) fn mark_of(event: &Event, hasher: &Hasher) -> Option<i64> {
    named(event).map(|(kind, id)| hasher.mark(kind, id))
}

/// Returns the hashes, in hexadecimal, whose tombstones concern an event: within its business, and within any.
fn subjects_of(event: &Event, hasher: &Hasher) -> Vec<String> {
    let businesses = [Some(event.business_id.as_str()), None];
    let hash = |(kind, id)| businesses.map(|business| hasher.tombstone(kind, business, id).to_hex()).into();
    named(event).map(hash).unwrap_or_default()
}

/// Returns for each event whether its conversation or session was erased. Must run inside a transaction; no tombstone is added until its
/// end.
pub(in crate::store) async fn erased<C: Rows>(
    conn: &mut C,
    events: &[Event],
    hasher: &Hasher,
) -> Result<Vec<bool>, sqlx::Error> {
    conn.run(C::LOCK_TOMBSTONES_SHARED.to_owned(), &[]).await?;
    let subjects: Vec<Vec<String>> = events.iter().map(|event| subjects_of(event, hasher)).collect();
    let all: HashSet<&String> = subjects.iter().flatten().collect();
    let first = events.iter().map(|event| event.at).min().unwrap_or(DateTime::UNIX_EPOCH);
    let sql = format!(
        "select {} from mlops_tombstones where subject {} and {} > {}",
        C::hex("subject"),
        C::any_bytes(1),
        C::comparable("until"),
        C::moment(2)
    );
    let binds = [json_list(&all.into_iter().collect::<Vec<_>>()), timestamp(first)];
    let buried: HashSet<String> = conn.texts(sql, &binds).await?.into_iter().collect();
    Ok(subjects.iter().map(|subjects| subjects.iter().any(|subject| buried.contains(subject))).collect())
}

/// The hash of what is buried in hexadecimal, and its mark.
pub(super) type Tombstone = (String, String);

fn tombstone(hasher: &Hasher, kind: Buried, business: Option<&str>, id: &str) -> Tombstone {
    (hasher.tombstone(kind, business, id).to_hex(), hasher.mark(kind, id).to_string())
}

impl SubjectTraces {
    /// Returns the tombstones of the person's conversations and sessions.
    pub(super) fn tombstones(&self, hasher: &Hasher) -> Vec<Tombstone> {
        let names = [(Buried::Conversation, &self.conversations), (Buried::Session, &self.sessions)];
        let tombstones = names.into_iter().flat_map(|(kind, names)| {
            names.iter().map(move |(business, id)| tombstone(hasher, kind, business.as_deref(), id))
        });
        tombstones.collect()
    }

    /// Returns the tombstones of what was disputed with the person.
    pub(super) fn disputes(&self, hasher: &Hasher) -> Vec<Tombstone> {
        self.disputed.iter().map(|id| tombstone(hasher, Buried::Dispute, None, id)).collect()
    }
}

/// Returns those of some conversations that were of several people before one of them was erased.
pub(super) async fn disputed<C: Rows>(
    conn: &mut C,
    ids: &[String],
    hasher: &Hasher,
) -> Result<BTreeSet<String>, sqlx::Error> {
    let subject = |id: &String| hasher.tombstone(Buried::Dispute, None, id).to_hex();
    let subjects: HashMap<String, &String> = ids.iter().map(|id| (subject(id), id)).collect();
    if subjects.is_empty() {
        return Ok(BTreeSet::new());
    }
    let sql = format!("select {} from mlops_tombstones where subject {}", C::hex("subject"), C::any_bytes(1));
    let bind = json_list(&subjects.keys().collect::<Vec<_>>());
    let found = conn.texts(sql, &[bind]).await?;
    Ok(found.iter().filter_map(|subject| subjects.get(subject).map(|id| (*id).clone())).collect())
}

/// Adds tombstones, or lets those that are there last longer.
pub(super) async fn add<C: Rows>(
    conn: &mut C,
    tombstones: &[Tombstone],
    until: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let sql = format!(
        "insert into mlops_tombstones (subject, mark, until) select {}, cast(second as bigint), {} {} where true
         on conflict (subject) do update set until = excluded.until where {} < {}",
        C::bytes_of("first"),
        C::time(2),
        C::each_pair(1),
        C::comparable("mlops_tombstones.until"),
        C::comparable("excluded.until")
    );
    conn.run(sql, &[json_list(tombstones), timestamp(until)]).await.map(drop)
}

impl Store {
    /// Has events of a person's conversations and sessions no longer be kept, for as long as an erasure takes. Afterwards everything that
    /// was stored before can be found.
    pub async fn bury(
        &self,
        traces: &SubjectTraces,
        hasher: &Hasher,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let tombstones = traces.tombstones(hasher);
        if tombstones.is_empty() {
            return Ok(());
        }
        crate::store::on!(&self.admin, WRITE_LIMIT, |conn| {
            let mut tx = dialect::begin(conn).await?;
            set_short_timeouts(&mut *tx).await?;
            dialect::lock_tombstones(&mut *tx).await?;
            add(&mut *tx, &tombstones, now + LEASE).await?;
            tx.commit().await
        })
    }

    /// Undoes [`Store::bury`] after an erasure that failed at `now`. Lasting tombstones stay.
    pub async fn unbury(
        &self,
        traces: &SubjectTraces,
        hasher: &Hasher,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let subjects: Vec<String> =
            traces.tombstones(hasher).into_iter().map(|(subject, _)| subject).collect();
        crate::store::on!(&self.admin, WRITE_LIMIT, |conn| remove_leases(conn, &subjects, now).await)
    }
}

/// Has the session give up soon when others hold a lock.
async fn set_short_timeouts<C: Rows>(conn: &mut C) -> Result<(), sqlx::Error> {
    conn.texts(C::SHORT_TIMEOUTS.to_owned(), &[]).await.map(drop)
}

async fn remove_leases<C: Rows>(
    conn: &mut C,
    subjects: &[String],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let sql = format!(
        "delete from mlops_tombstones where subject {} and {} <= {}",
        C::any_bytes(1),
        C::comparable("until"),
        C::moment(2)
    );
    conn.run(sql, &[json_list(subjects), timestamp(now + LEASE)]).await.map(drop)
}
