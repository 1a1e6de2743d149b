//! Facts about single conversations.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};

use crate::conversation::{ConversationKey, Facts, Outcome};
use crate::store::digest::facts::{FactsRow, columns};
use crate::store::{READ_LIMIT, Store, StoreError};

/// Later than any conversation: in the year 2262.
const END: DateTime<Utc> = DateTime::from_timestamp_nanos(i64::MAX);

/// Which outcome conversations have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeFilter {
    /// This one.
    Is(Outcome),
    /// None that is known.
    Unknown,
}

/// Which conversations to return. What is `None` does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConversationFilter {
    /// Their newest outcome.
    pub outcome: Option<OutcomeFilter>,
    /// Whether they were handed to a person.
    pub handoff: Option<bool>,
    /// Whether an answer was an error.
    pub error: Option<bool>,
    /// Only those after this one, by its first answer and id, in the order of the list.
    pub after: Option<(DateTime<Utc>, String)>,
}

/// Selects a page of conversations. Casts tell Postgres the types of parameters that are compared with null alone.
static SQL: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select {} from mlops_conversations f
         where business_id = $1 and first_at <= $2 and (first_at < $2 or conversation_id > $3)
           and (cast($4 as boolean) is null or handoff = $4) and (cast($5 as boolean) is null or error = $5)
           and (cast($6 as text) is null or coalesce(outcome, 'none') = $6)
         order by first_at desc, conversation_id limit $7",
        columns()
    )
});

impl Store {
    /// Returns at most `limit` conversations of a business, newest first, and by id among those that began at the same time.
    /// Call [`Store::digest_all`] before, so that they include the newest events.
    pub async fn conversations(
        &self,
        business_id: &str,
        filter: &ConversationFilter,
        limit: u32,
    ) -> Result<Vec<(ConversationKey, Facts)>, StoreError> {
        let (before, after) = match &filter.after {
            Some((first_at, id)) => (*first_at, id.as_str()),
            None => (END, ""),
        };
        let outcome = filter.outcome.map(|outcome| match outcome {
            OutcomeFilter::Is(outcome) => outcome.name(),
            OutcomeFilter::Unknown => "none",
        });
        let mut source = self.source();
        let rows: Vec<FactsRow> = loop {
            let read = on!(source.db(), READ_LIMIT, |conn| {
                let query = sqlx::query_as(SQL.as_str())
                    .bind(business_id)
                    .bind(before)
                    .bind(after)
                    .bind(filter.handoff);
                let query = query.bind(filter.error).bind(outcome).bind(i64::from(limit));
                query.fetch_all(conn).await
            });
            if let Some(read) = source.settle(read) {
                break read?;
            }
        };
        Ok(rows.into_iter().map(Into::into).collect())
    }
}
