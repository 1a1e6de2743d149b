//! Outcomes of conversations: those that callers post, and what they and the book say about a conversation.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use uuid::Uuid;

use super::facts::{self, keys_json};
use super::sql::FactsDialect;
use crate::conversation::{
    BookEntry, ConversationKey, FactSums, Facts, Outcome, OutcomeState, PostedOutcome, TotalKind,
};

/// An outcome that is posted, and its conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct NewOutcome {
    /// The conversation.
    pub key: ConversationKey,
    /// The outcome.
    pub posted: PostedOutcome,
}

/// What became of an outcome that was posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Posting {
    /// It is stored.
    Recorded,
    /// One of its business with its id was posted before.
    Duplicate,
    /// It is counted but not stored, because its customer has not consented or was erased.
    CountedOnly,
}

struct PostedRow {
    business_id: String,
    conversation_id: String,
    outcome_id: Uuid,
    outcome: String,
    value_micros: Option<i64>,
    occurred_at: DateTime<Utc>,
    without_facts_on: Option<NaiveDate>,
}

from_row!(PostedRow {
    business_id,
    conversation_id,
    outcome_id,
    outcome,
    value_micros,
    occurred_at,
    without_facts_on,
});

struct BookRow {
    business_id: String,
    conversation_id: String,
    appointment_id: String,
    outcome: String,
    held_at: Option<NaiveDateTime>,
    without_facts_on: Option<NaiveDate>,
}

from_row!(BookRow { business_id, conversation_id, appointment_id, outcome, held_at, without_facts_on });

/// What is known about the appointment of a conversation.
#[derive(Default)]
struct Known {
    posted: Vec<PostedOutcome>,
    book: Vec<BookEntry>,
    /// What counts as an outcome of a conversation without facts, by day.
    without_facts: Vec<(NaiveDate, Outcome)>,
}

impl Known {
    fn state(&self) -> OutcomeState {
        OutcomeState::of(&self.posted, &self.book)
    }
}

/// Reads what is known about the appointments of conversations.
async fn load<C: FactsDialect>(
    conn: &mut C,
    keys: &[ConversationKey],
) -> Result<BTreeMap<ConversationKey, Known>, sqlx::Error> {
    let mut known: BTreeMap<ConversationKey, Known> = BTreeMap::new();
    if keys.is_empty() {
        return Ok(known);
    }
    let select = |table: &str| {
        let on = "on o.business_id = k.business_id and o.conversation_id = k.conversation_id";
        format!("select o.* from {} join {table} o {on}", C::KEYS)
    };
    let posted: Vec<PostedRow> = conn.rows(select("mlops_outcomes"), keys_json(keys)).await?;
    for row in posted {
        let Some(outcome) = Outcome::from_name(&row.outcome) else { continue };
        let (id, value_micros, occurred_at) = (row.outcome_id, row.value_micros, row.occurred_at);
        let of = known.entry(key(row.business_id, row.conversation_id)).or_default();
        of.posted.push(PostedOutcome { id, outcome, value_micros, occurred_at });
        of.without_facts.extend(row.without_facts_on.map(|day| (day, outcome)));
    }
    let book: Vec<BookRow> = conn.rows(select("mlops_book"), keys_json(keys)).await?;
    for row in book {
        let Some(outcome) = Outcome::from_name(&row.outcome) else { continue };
        let of = known.entry(key(row.business_id, row.conversation_id)).or_default();
        of.book.push(BookEntry { appointment_id: row.appointment_id, outcome, held_at: row.held_at });
        of.without_facts.extend(row.without_facts_on.map(|day| (day, outcome)));
    }
    Ok(known)
}

const fn key(business_id: String, conversation_id: String) -> ConversationKey {
    ConversationKey { business_id, conversation_id }
}

/// Returns what is known about the appointments of conversations that had no facts before. Their outcomes no longer count as those of
/// conversations without facts.
pub(super) async fn adopt<C: FactsDialect>(
    conn: &mut C,
    keys: &[ConversationKey],
    sums: &mut FactSums,
) -> Result<BTreeMap<ConversationKey, OutcomeState>, sqlx::Error> {
    let known = load(conn, keys).await?;
    let adopted: Vec<ConversationKey> = known
        .iter()
        .filter(|(_, known)| !known.without_facts.is_empty())
        .map(|(key, _)| key.clone())
        .collect();
    for key in &adopted {
        for (day, outcome) in &known[key].without_facts {
            sums.outcomes.of(&key.business_id, *day, outcome.name().to_owned()).outcomes -= 1;
        }
    }
    if !adopted.is_empty() {
        for table in ["mlops_outcomes", "mlops_book"] {
            let sql = format!(
                "update {table} set without_facts_on = null where without_facts_on is not null
                 and (business_id, conversation_id) in (select business_id, conversation_id from {})",
                C::KEYS
            );
            conn.run_json(sql, keys_json(&adopted)).await?;
        }
    }
    Ok(known.into_iter().map(|(key, known)| (key, known.state())).collect())
}

/// Brings the facts about conversations up to date with what is known about their appointments now.
pub(super) async fn settle<C: FactsDialect>(
    conn: &mut C,
    facts: &BTreeMap<ConversationKey, Facts>,
    changed: &BTreeSet<ConversationKey>,
    sums: &mut FactSums,
) -> Result<(), sqlx::Error> {
    let keys: Vec<ConversationKey> = changed.iter().cloned().collect();
    let known = load(conn, &keys).await?;
    let mut settled = BTreeMap::new();
    for key in keys {
        let Some(before) = facts.get(&key) else { continue };
        let outcome = known.get(&key).map(Known::state).unwrap_or_default();
        let after = Facts { outcome, ..before.clone() };
        if after != *before {
            sums.count(&key, before, -1);
            sums.count(&key, &after, 1);
            sums.totals.add(&key.business_id, TotalKind::Settled, "", 1);
            settled.insert(key, after);
        }
    }
    facts::save(conn, &settled).await
}

/// Returns the distinct conversations of outcomes.
pub(super) fn conversations_of(outcomes: &[NewOutcome]) -> Vec<ConversationKey> {
    let keys: BTreeSet<&ConversationKey> = outcomes.iter().map(|one| &one.key).collect();
    keys.into_iter().cloned().collect()
}

/// Counts a new outcome; `day` is the day on which it counts as one of a conversation without facts.
pub(super) fn count(sums: &mut FactSums, new: &NewOutcome, day: Option<NaiveDate>) {
    let (business_id, name) = (&new.key.business_id, new.posted.outcome.name());
    sums.totals.add(business_id, TotalKind::Outcomes, name, 1);
    if let Some(day) = day {
        sums.outcomes.of(business_id, day, name.to_owned()).outcomes += 1;
    }
}
