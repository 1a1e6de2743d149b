//! `conversations`.

use serde::Serialize;
use utoipa::ToSchema;

use super::Totals;
use crate::analytics::Rate;

/// Conversations, which count on the day of their first answer, and rates of them.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Conversations {
    /// All answers.
    #[schema(minimum = 0)]
    pub answers: i64,
    /// Conversations.
    #[schema(minimum = 0)]
    pub conversations: i64,
    /// Answers that name no conversation.
    #[schema(minimum = 0)]
    pub answers_without_conversation: i64,
    /// Answers in these conversations, for each of them.
    #[schema(required)]
    pub answers_per_conversation: Option<f64>,
    /// Conversations handed to a person.
    pub handoff_rate: Rate<i64>,
    /// Answers in which the AI failed, of all answers.
    pub error_rate: Rate<i64>,
    /// Conversations without a handoff and without an error.
    pub contained_rate: Rate<i64>,
    /// Conversations that began outside the opening hours, of those at whose beginning the hours were known.
    pub after_hours_rate: Rate<i64>,
}

impl Conversations {
    /// Returns `None` if no conversation of these days is known.
    pub(in crate::analytics) fn of(totals: &Totals) -> Option<Self> {
        let (answers, facts) = (&totals.all.answers, &totals.known.as_ref()?.facts);
        let all = facts.conversations;
        Some(Self {
            answers: answers.events,
            conversations: all,
            answers_without_conversation: facts.answers_without_conversation,
            answers_per_conversation: Rate::of(facts.conversation_answers, all).value,
            handoff_rate: Rate::of(facts.handoffs, all),
            error_rate: Rate::of(answers.errors, answers.events),
            contained_rate: Rate::of(facts.contained, all),
            after_hours_rate: Rate::of(facts.after_hours, facts.with_hours),
        })
    }
}
