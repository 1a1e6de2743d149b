//! The sums over the events of one key. The columns of the rollup tables, the statements that write and read them, and
//! the arithmetic are all generated from [`Sum`].

use std::ops::{Index, IndexMut};

use strum::{EnumCount, IntoStaticStr, VariantArray};

use super::bucket::histogram_bucket;
use crate::event::Event;

/// One of the sums. Its column has the same name, in snake case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Sum {
    /// The number of events.
    Events,
    /// Response times in milliseconds.
    ResponseTimeMs,
    /// Events that took at most 100 ms.
    #[strum(serialize = "within_100ms")]
    Within100Ms,
    /// Events that took more than 100 and at most 500 ms.
    #[strum(serialize = "within_500ms")]
    Within500Ms,
    /// Events that took more than 500 ms and at most 1 s.
    #[strum(serialize = "within_1s")]
    Within1S,
    /// Events that took more than 1 and at most 2 s.
    #[strum(serialize = "within_2s")]
    Within2S,
    /// Events that took more than 2 and at most 5 s.
    #[strum(serialize = "within_5s")]
    Within5S,
    /// Events that took more than 5 and at most 10 s.
    #[strum(serialize = "within_10s")]
    Within10S,
    /// Success rates in ten-thousandths; an event without one counts as 1.
    #[strum(serialize = "success_e4")]
    SuccessE4,
    /// Tokens of prompts and completions together.
    Tokens,
    /// Tokens of prompts; events that do not report them count as 0.
    PromptTokens,
    /// Tokens of completions; events that do not report them count as 0.
    CompletionTokens,
    /// Costs in millionths of a US dollar.
    CostMicros,
    /// Events in which an appointment was requested.
    AppointmentsRequested,
    /// Events in which an appointment was booked.
    AppointmentsBooked,
    /// Events in which a handoff to a human was requested.
    Handoffs,
}

impl Sum {
    /// Returns the name of its column in the rollup tables.
    #[must_use]
    pub fn column(self) -> &'static str {
        self.into()
    }

    /// Returns whether it counts events. The count of a single batch fits into an `int4`.
    #[must_use]
    pub const fn is_count(self) -> bool {
        match self {
            Self::Events
            | Self::Within100Ms
            | Self::Within500Ms
            | Self::Within1S
            | Self::Within2S
            | Self::Within5S
            | Self::Within10S
            | Self::AppointmentsRequested
            | Self::AppointmentsBooked
            | Self::Handoffs => true,
            Self::ResponseTimeMs
            | Self::SuccessE4
            | Self::Tokens
            | Self::PromptTokens
            | Self::CompletionTokens
            | Self::CostMicros => false,
        }
    }

    /// Returns the amount by which `event` increases the sum.
    fn of(self, event: &Event) -> i64 {
        match self {
            Self::Events => 1,
            Self::ResponseTimeMs => event.response_time_ms.into(),
            Self::Within100Ms
            | Self::Within500Ms
            | Self::Within1S
            | Self::Within2S
            | Self::Within5S
            | Self::Within10S => (histogram_bucket(event.response_time_ms) == Some(self)).into(),
            Self::SuccessE4 => event.success_e4().into(),
            Self::Tokens => event.tokens_used.into(),
            Self::PromptTokens => event.prompt_tokens.unwrap_or(0).into(),
            Self::CompletionTokens => event.completion_tokens.unwrap_or(0).into(),
            Self::CostMicros => event.cost_micros,
            Self::AppointmentsRequested => event.appointment_requested.into(),
            Self::AppointmentsBooked => event.appointment_booked.into(),
            Self::Handoffs => event.human_handoff_requested.into(),
        }
    }
}

/// The sums over the events of one key, indexed by [`Sum`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sums {
    values: [i64; Sum::COUNT],
    /// The latest success rate that a caller reported.
    pub last_success: Option<LastSuccess>,
}

/// A success rate and when it was reported.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LastSuccess {
    /// When it was reported, in microseconds since 1970.
    pub at_micros: i64,
    /// The rate, from 0 to 1.
    pub rate: f64,
}

impl Sums {
    /// Returns the sums of one event.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        let last_success =
            event.success_rate.map(|rate| LastSuccess { at_micros: event.at.timestamp_micros(), rate });
        Self { values: std::array::from_fn(|sum| Sum::VARIANTS[sum].of(event)), last_success }
    }

    /// Adds `other` to these sums.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.values.iter_mut().zip(other.values) {
            *mine += theirs;
        }
        self.last_success = newest(self.last_success, other.last_success);
    }

    /// Subtracts `other`, which must have been added before. The latest success rate is not restored.
    pub fn subtract(&mut self, other: &Self) {
        for (mine, theirs) in self.values.iter_mut().zip(other.values) {
            *mine -= theirs;
        }
    }
}

impl Index<Sum> for Sums {
    type Output = i64;

    fn index(&self, sum: Sum) -> &i64 {
        &self.values[sum as usize]
    }
}

impl IndexMut<Sum> for Sums {
    fn index_mut(&mut self, sum: Sum) -> &mut i64 {
        &mut self.values[sum as usize]
    }
}

/// Returns the later of two success rates; the second if both have the same time.
#[must_use]
pub fn newest(a: Option<LastSuccess>, b: Option<LastSuccess>) -> Option<LastSuccess> {
    [a, b].into_iter().flatten().max_by_key(|last| last.at_micros)
}
