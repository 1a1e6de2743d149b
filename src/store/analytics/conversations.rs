//! Facts about single conversations.

use chrono::{DateTime, Utc};

use crate::store::{READ_LIMIT, Store, StoreError};

/// What is known about a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they do not depend on each other")]
pub struct ConversationFacts {
    /// Its id, as it came.
    pub conversation_id: String,
    /// When its first answer was given.
    pub first_at: DateTime<Utc>,
    /// When its last answer was given.
    pub last_at: DateTime<Utc>,
    /// The number of answers.
    pub answers: i64,
    /// Whether an appointment was requested.
    pub requested: bool,
    /// Whether an event claims a booking.
    pub claimed: bool,
    /// Whether it was handed to a person.
    pub handoff: bool,
    /// Whether an answer was an error.
    pub error: bool,
    /// Whether it began within the opening hours; `None` if they were not known.
    pub in_hours: Option<bool>,
    /// Its newest outcome: `booked`, `kept`, `no_show` or `cancelled`; `None` if nothing is known.
    pub outcome: Option<String>,
    /// Whether the receptionist app's book has a booking for it.
    pub in_book: bool,
    /// Whether an outcome was posted.
    pub posted: bool,
    /// Its counted cost in billionths of a US dollar.
    pub cost_nanos: i64,
}

from_row!(ConversationFacts {
    conversation_id,
    first_at,
    last_at,
    answers,
    requested,
    claimed,
    handoff,
    error,
    in_hours,
    outcome,
    in_book,
    posted,
    cost_nanos
});

/// Later than any conversation: in the year 2262.
const END: DateTime<Utc> = DateTime::from_timestamp_nanos(i64::MAX);

/// Which outcome conversations have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeFilter {
    /// This one.
    Is(&'static str),
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

impl Store {
    /// Returns at most `limit` conversations of a business, newest first, and by id among those that began at the same time.
    /// Call [`Store::digest_all`] before, so that they include the newest events.
    pub async fn conversations(
        &self,
        business_id: &str,
        filter: &ConversationFilter,
        limit: u32,
    ) -> Result<Vec<ConversationFacts>, StoreError> {
        // Casts tell Postgres the types of parameters that are compared with null alone.
        const SQL: &str = "select conversation_id, first_at, last_at, answers, requested, claimed, handoff, error, in_hours, outcome,
                in_book, posted, cost_nanos
            from mlops_conversations
            where business_id = $1 and first_at <= $2 and (first_at < $2 or conversation_id > $3)
              and (cast($4 as boolean) is null or handoff = $4) and (cast($5 as boolean) is null or error = $5)
              and (cast($6 as text) is null or coalesce(outcome, 'none') = $6)
            order by first_at desc, conversation_id limit $7";
        let (before, after) = match &filter.after {
            Some((first_at, id)) => (*first_at, id.as_str()),
            None => (END, ""),
        };
        let outcome = filter.outcome.map(|outcome| match outcome {
            OutcomeFilter::Is(name) => name,
            OutcomeFilter::Unknown => "none",
        });
        on!(&self.read, READ_LIMIT, |conn| {
            let query = sqlx::query_as(SQL).bind(business_id).bind(before).bind(after).bind(filter.handoff);
            let query = query.bind(filter.error).bind(outcome).bind(i64::from(limit));
            query.fetch_all(conn).await
        })
    }
}
