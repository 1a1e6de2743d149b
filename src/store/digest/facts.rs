//! Reads and writes the facts about conversations.

use std::collections::BTreeMap;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::rows::{Existing, PutRows, Row, Type, Upsert};
use super::sql::FactsDialect;
use crate::conversation::{ConversationKey, Facts, FirstAnswer, Outcome, OutcomeState};

/// The columns of facts.
const COLUMNS: [(&str, Type); 20] = [
    ("business_id", Type::Text),
    ("conversation_id", Type::Text),
    ("day", Type::Date),
    ("hour", Type::Integer),
    ("first_at", Type::Time),
    ("last_at", Type::Time),
    ("first_response_ms", Type::Integer),
    ("first_intent", Type::Text),
    ("answers", Type::Integer),
    ("requested", Type::Bool),
    ("claimed", Type::Bool),
    ("handoff", Type::Bool),
    ("error", Type::Bool),
    ("in_hours", Type::Bool),
    ("tokens", Type::Integer),
    ("cost_nanos", Type::Integer),
    ("outcome", Type::Text),
    ("in_book", Type::Bool),
    ("posted", Type::Bool),
    ("value_micros", Type::Integer),
];

/// A row of facts.
#[expect(clippy::struct_excessive_bools, reason = "they are columns")]
pub(in crate::store) struct FactsRow {
    business_id: String,
    conversation_id: String,
    day: NaiveDate,
    hour: i16,
    first_at: DateTime<Utc>,
    last_at: DateTime<Utc>,
    first_response_ms: i32,
    first_intent: String,
    answers: i64,
    requested: bool,
    claimed: bool,
    handoff: bool,
    error: bool,
    in_hours: Option<bool>,
    tokens: i64,
    cost_nanos: i64,
    outcome: Option<String>,
    in_book: bool,
    posted: bool,
    value_micros: i64,
}

from_row!(FactsRow {
    business_id,
    conversation_id,
    day,
    hour,
    first_at,
    last_at,
    first_response_ms,
    first_intent,
    answers,
    requested,
    claimed,
    handoff,
    error,
    in_hours,
    tokens,
    cost_nanos,
    outcome,
    in_book,
    posted,
    value_micros,
});

impl From<FactsRow> for (ConversationKey, Facts) {
    fn from(row: FactsRow) -> Self {
        let key = ConversationKey { business_id: row.business_id, conversation_id: row.conversation_id };
        let first = FirstAnswer {
            at: row.first_at,
            response_ms: row.first_response_ms,
            intent: row.first_intent,
            day: row.day,
            hour: u8::try_from(row.hour).unwrap_or(0),
            in_hours: row.in_hours,
        };
        let outcome = OutcomeState {
            outcome: row.outcome.and_then(|name| Outcome::from_str(&name).ok()),
            in_book: row.in_book,
            posted: row.posted,
            value_micros: row.value_micros,
        };
        let facts = Facts {
            first,
            last_at: row.last_at,
            answers: row.answers,
            requested: row.requested,
            claimed: row.claimed,
            handoff: row.handoff,
            error: row.error,
            tokens: row.tokens,
            cost_nanos: row.cost_nanos,
            outcome,
        };
        (key, facts)
    }
}

/// Returns the columns of [`FactsRow`], of the table as `f`.
pub(in crate::store) fn columns() -> String {
    COLUMNS.map(|(name, _)| format!("f.{name}")).join(", ")
}

/// Returns the facts that are known about conversations.
pub(super) async fn load<C: FactsDialect>(
    conn: &mut C,
    keys: &[ConversationKey],
) -> Result<BTreeMap<ConversationKey, Facts>, sqlx::Error> {
    if keys.is_empty() {
        return Ok(BTreeMap::new());
    }
    let columns = columns();
    let sql = format!(
        "select {columns} from {} join mlops_conversations f
            on f.business_id = k.business_id and f.conversation_id = k.conversation_id",
        C::KEYS
    );
    let rows: Vec<FactsRow> = conn.rows(sql, keys_json(keys)).await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Writes facts.
pub(super) async fn save<C: PutRows>(
    conn: &mut C,
    facts: &BTreeMap<ConversationKey, Facts>,
) -> Result<(), sqlx::Error> {
    let rows: Vec<Row> = facts.iter().map(|(key, facts)| row(key, facts)).collect();
    conn.put(&Upsert::new("mlops_conversations", COLUMNS.to_vec(), 2, Existing::Replace), &rows).await
}

fn row(key: &ConversationKey, facts: &Facts) -> Row {
    let Facts { first, outcome, .. } = facts;
    vec![
        key.business_id.as_str().into(),
        key.conversation_id.as_str().into(),
        first.day.to_string().into(),
        first.hour.into(),
        moment(first.at),
        moment(facts.last_at),
        first.response_ms.into(),
        first.intent.as_str().into(),
        facts.answers.into(),
        facts.requested.into(),
        facts.claimed.into(),
        facts.handoff.into(),
        facts.error.into(),
        json!(first.in_hours),
        facts.tokens.into(),
        facts.cost_nanos.into(),
        json!(outcome.outcome.map(Outcome::name)),
        outcome.in_book.into(),
        outcome.posted.into(),
        outcome.value_micros.into(),
    ]
}

/// Returns a time as `sqlx` writes it on SQLite, so that texts compare like times.
pub(super) fn moment(at: DateTime<Utc>) -> Value {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, false).into()
}

/// Returns the keys as a JSON array of pairs, the parameter of [`FactsDialect::KEYS`].
pub(super) fn keys_json(keys: &[ConversationKey]) -> String {
    let pairs: Vec<[&str; 2]> =
        keys.iter().map(|key| [key.business_id.as_str(), key.conversation_id.as_str()]).collect();
    serde_json::to_string(&pairs).expect("texts become JSON")
}
