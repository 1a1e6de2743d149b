//! Withdrawals that turn out later to concern an event: the app may note whose a conversation is after the event was stored.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::lookup::{customer_names, latest};
use crate::clock::timestamp;
use crate::privacy::consent::{CHAT_STORAGE, Name, withdrawn_since};
use crate::privacy::subject::{Hasher, Selector};
use crate::store::privacy::customers::Conversations;
use crate::store::privacy::erase::record_keys;
use crate::store::privacy::find::json_list;
use crate::store::privacy::schema::Table;
use crate::store::privacy::{Rows, Schema};
use crate::store::{READ_LIMIT, Store, StoreError, dialect};

/// The time limit of looking at some conversations.
const STEP_LIMIT: Duration = Duration::from_secs(8);

impl Store {
    /// Returns the conversations of which the app's rows came or changed after `since`, so that a withdrawal may turn out to concern
    /// their events; none if consent is not required.
    pub async fn changed_conversations(
        &self,
        since: Option<DateTime<Utc>>,
    ) -> Result<Vec<String>, StoreError> {
        if !self.keeping.by_consent {
            return Ok(Vec::new());
        }
        on!(&self.read, READ_LIMIT, |conn| changed_conversations(conn, since).await)
    }

    /// Deletes those events of some conversations that were stored while a withdrawal held that concerns them, and the facts about these
    /// conversations. They stay counted. Returns the number of events.
    pub async fn delete_withdrawn(&self, ids: &[String], now: DateTime<Utc>) -> Result<u64, StoreError> {
        let Some(hasher) = self.keeping.hasher.as_ref().filter(|_| self.keeping.by_consent) else {
            return Ok(0);
        };
        self.digest_all().await?;
        on!(&self.admin, STEP_LIMIT, |conn| {
            let mut tx = dialect::begin(conn).await?;
            dialect::extend_timeout(&mut *tx).await?;
            let deleted = delete_of(&mut *tx, ids, hasher, now).await?;
            tx.commit().await?;
            Ok(deleted)
        })
    }
}

/// Returns the conversations whose own rows or appointments came or changed after `since`, and after the first withdrawal in force: what
/// was there before it was known when it was made.
async fn changed_conversations<C: Rows>(
    conn: &mut C,
    since: Option<DateTime<Utc>>,
) -> Result<Vec<String>, sqlx::Error> {
    let first = format!(
        "select cast(min({}) as text) from (
            select granted, at, row_number() over (partition by subject, business_id order by seq desc) as turn
            from mlops_consents where purpose = '{CHAT_STORAGE}') latest where turn = 1 and not granted",
        C::comparable("at")
    );
    let Some(first) = conn.texts(first, &[]).await?.pop() else { return Ok(Vec::new()) };
    let since = since.map_or_else(|| first.clone(), timestamp);
    let schema = Schema::of_customers(conn).await?;
    let mut ids = HashSet::new();
    for (table, id) in [(Table::Conversations, "id"), (Table::Appointments, "conversation_id")] {
        if !schema.has(table, id) {
            continue;
        }
        let times = ["created_at", "updated_at"].into_iter().filter(|column| schema.has(table, column));
        let is_later = |column| {
            let (time, from, first) = (C::comparable(column), C::second_before(1), C::second_before(2));
            format!("{time} >= {from} and {time} >= {first}")
        };
        let conditions: Vec<String> = times.map(is_later).collect();
        let all = format!("select distinct cast({id} as text) from {} where {id} is not null", table.name());
        let (sql, binds) = match &conditions[..] {
            [] => (all, Vec::new()),
            some => (format!("{all} and ({})", some.join(" or ")), vec![since.clone(), first.clone()]),
        };
        ids.extend(conn.texts(sql, &binds).await?);
    }
    Ok(ids.into_iter().collect())
}

/// Deletes the events of some conversations that were stored while a withdrawal held.
async fn delete_of<C: Rows>(
    conn: &mut C,
    ids: &[String],
    hasher: &Hasher,
    now: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    conn.run(C::LOCK_DIGEST.to_owned(), &[]).await?;
    conn.run(C::LOCK_CONSENTS_SHARED.to_owned(), &[]).await?;
    let schema = Schema::of_customers(conn).await?;
    let conversations = Conversations::read(conn, &schema, ids, hasher.reader).await?;
    let mut candidates: Vec<(&String, String, Vec<Name>)> = Vec::new();
    for id in ids {
        for business in conversations.businesses(id) {
            let mut names = customer_names(&conversations, id, &business, hasher);
            names.extend(Selector::conversation(id).ok().map(|selector| hasher.hashes(&selector)));
            candidates.push((id, business, names));
        }
    }
    let all = candidates.iter().flat_map(|(_, _, names)| names).flatten().copied();
    let latest = latest(conn, all.collect::<HashSet<_>>()).await?;
    let mut deleted = 0;
    for (id, business, names) in candidates {
        if let Some(at) = withdrawn_since(&names, &business, &latest) {
            deleted += delete_events(conn, id, &business, at, now).await?;
        }
    }
    Ok(deleted)
}

/// Deletes the events of a conversation of a business that were stored from `at` on, and the facts that they led to. Their keys are
/// recorded, so that they count once.
async fn delete_events<C: Rows>(
    conn: &mut C,
    id: &str,
    business: &str,
    at: &str,
    now: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    let stored = format!(
        "select cast(id as text) from ai_metrics
         where conversation_id = $1 and business_id = $2 and event_id is not null and {} >= {}",
        C::comparable("created_at"),
        C::moment(3)
    );
    let events = conn.texts(stored, &[id.to_owned(), business.to_owned(), at.to_owned()]).await?;
    if events.is_empty() {
        return Ok(0);
    }
    let events: Vec<i64> = events.iter().filter_map(|id| id.parse().ok()).collect();
    record_keys(conn, &json_list(&events), now).await?;
    let facts = "delete from mlops_conversations where conversation_id = $1 and business_id = $2".to_owned();
    conn.run(facts, &[id.to_owned(), business.to_owned()]).await?;
    conn.run(format!("delete from ai_metrics where id {}", C::any_number(1)), &[json_list(&events)]).await
}
