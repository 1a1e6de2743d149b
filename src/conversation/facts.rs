//! The facts about a conversation.

use chrono::{DateTime, NaiveDate, Utc};

use super::OutcomeState;
use crate::business::Profiles;
use crate::event::{Event, is_placeholder_id};
use crate::rollup::ERROR_RESPONSE;

/// What names a conversation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConversationKey {
    /// See [`Event::business_id`].
    pub business_id: String,
    /// See [`Event::conversation_id`].
    pub conversation_id: String,
}

impl ConversationKey {
    /// Returns the conversation of an event; `None` if it names none.
    #[must_use]
    pub fn of(event: &Event) -> Option<Self> {
        let conversation_id = event.conversation_id.as_ref().filter(|id| !is_placeholder_id(id))?;
        Some(Self { business_id: event.business_id.clone(), conversation_id: conversation_id.clone() })
    }
}

/// The first answer of a conversation. Of answers at the same time, the order of the other fields decides, so that it does not
/// depend on the order in which they came.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FirstAnswer {
    /// When it was given.
    pub at: DateTime<Utc>,
    /// Its response time in milliseconds.
    pub response_ms: i32,
    /// Its intent.
    pub intent: String,
    /// Its day in the time zone of the business.
    pub day: NaiveDate,
    /// Its hour of the day, from 0 to 23, in the time zone of the business.
    pub hour: u8,
    /// Whether it was given within the opening hours; `None` if these were not known.
    pub in_hours: Option<bool>,
}

/// The facts about a conversation, from the events that are stored.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
pub struct Facts {
    /// The first answer.
    pub first: FirstAnswer,
    /// When the last answer was given.
    pub last_at: DateTime<Utc>,
    /// The number of answers.
    pub answers: i64,
    /// Whether an appointment was requested.
    pub requested: bool,
    /// Whether an event claims that an appointment was booked.
    pub claimed: bool,
    /// Whether it was handed to a person. An error alone is no handoff.
    pub handoff: bool,
    /// Whether an answer was an error.
    pub error: bool,
    /// Tokens of prompts and completions together.
    pub tokens: i64,
    /// The cost, reported or else computed, in billionths of a US dollar.
    pub cost_nanos: i64,
    /// What became of its appointment.
    pub outcome: OutcomeState,
}

impl Facts {
    /// Returns the facts that one event tells, whose cost is `cost_nanos`.
    #[must_use]
    pub fn of(event: &Event, cost_nanos: i64, profiles: &Profiles) -> Self {
        let error = event.response_type == ERROR_RESPONSE;
        Self {
            first: FirstAnswer {
                at: event.at,
                response_ms: event.response_time_ms,
                intent: event.intent_detected.clone(),
                day: profiles.day(&event.business_id, event.at),
                hour: profiles.hour(&event.business_id, event.at),
                in_hours: profiles.is_open(&event.business_id, event.at),
            },
            last_at: event.at,
            answers: 1,
            requested: event.appointment_requested,
            claimed: event.appointment_booked,
            handoff: event.human_handoff_requested && !error,
            error,
            tokens: event.tokens_used.into(),
            cost_nanos,
            outcome: OutcomeState::default(),
        }
    }

    /// Adds the facts that other events of the conversation tell. The outcome stays.
    pub fn add(&mut self, other: Self) {
        if other.first < self.first {
            self.first = other.first;
        }
        self.last_at = self.last_at.max(other.last_at);
        self.answers += other.answers;
        self.requested |= other.requested;
        self.claimed |= other.claimed;
        self.handoff |= other.handoff;
        self.error |= other.error;
        self.tokens = self.tokens.saturating_add(other.tokens);
        self.cost_nanos = self.cost_nanos.saturating_add(other.cost_nanos);
    }
}
