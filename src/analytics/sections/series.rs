//! `series`.

use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Basis, counted_cost};
use crate::analytics::Usd;
use crate::conversation::DailySums;
use crate::store::{DayRange, Figures};

/// A day. Nothing happened on a day of zeros; what is `None` is not known.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OfDay {
    /// The day, such as `2026-11-01`.
    #[schema(format = Date)]
    pub day: String,
    /// Answers.
    #[schema(minimum = 0)]
    pub answers: i64,
    /// Conversations.
    #[schema(required, minimum = 0)]
    pub conversations: Option<i64>,
    /// Conversations in which an appointment was requested.
    #[schema(required, minimum = 0)]
    pub requested: Option<i64>,
    /// Booked conversations.
    #[schema(required, minimum = 0)]
    pub booked: Option<i64>,
    /// Conversations handed to a person.
    #[schema(required, minimum = 0)]
    pub handoffs: Option<i64>,
    /// Answers in which the AI failed.
    #[schema(minimum = 0)]
    pub errors: i64,
    /// Tokens of prompts and completions together.
    #[schema(minimum = 0)]
    pub tokens: i64,
    /// The counted cost.
    pub cost_usd: Usd,
    /// The median response time in milliseconds; `None` without answers.
    #[schema(required)]
    pub p50_ms: Option<f64>,
    /// The 95th percentile, likewise.
    #[schema(required)]
    pub p95_ms: Option<f64>,
    /// Whether it is not over: today, and days to come.
    pub unfinished: bool,
    /// How the conversations ended, for pages.
    #[serde(skip)]
    pub ends: Option<Ends>,
}

/// How the conversations of a day ended. Each is in one of these, so that they add up to the conversations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ends {
    /// Conversations with neither a handoff nor an error.
    pub contained: i64,
    /// Conversations handed to a person, whether or not there was an error.
    pub handoffs: i64,
    /// Conversations with an error that were not handed to a person.
    pub errors: i64,
}

impl Ends {
    fn of(facts: &DailySums) -> Self {
        let (contained, handoffs) = (facts.contained, facts.handoffs);
        Self { contained, handoffs, errors: (facts.conversations - contained - handoffs).max(0) }
    }
}

impl OfDay {
    /// The names of its fields, in order.
    pub const COLUMNS: [&'static str; 12] = [
        "day",
        "answers",
        "conversations",
        "requested",
        "booked",
        "handoffs",
        "errors",
        "tokens",
        "cost_usd",
        "p50_ms",
        "p95_ms",
        "unfinished",
    ];

    /// Returns every day of a period, oldest first.
    pub(in crate::analytics) fn all(
        figures: &Figures,
        period: DayRange,
        today: NaiveDate,
        basis: Basis,
    ) -> Vec<Self> {
        let of_day = |day: NaiveDate| {
            let sums = figures.days.get(&day).copied().unwrap_or_default();
            let known = |count: i64| basis.knows(day).then_some(count);
            Self {
                day: day.to_string(),
                answers: sums.answers.events,
                conversations: known(sums.facts.conversations),
                requested: known(sums.facts.requested),
                booked: known(basis.booked_of(&sums.facts)),
                handoffs: known(sums.facts.handoffs),
                errors: sums.answers.errors,
                tokens: sums.answers.tokens,
                cost_usd: counted_cost(&sums),
                p50_ms: sums.p50_ms,
                p95_ms: sums.p95_ms,
                unfinished: day >= today,
                ends: basis.knows(day).then(|| Ends::of(&sums.facts)),
            }
        };
        period.days().map(of_day).collect()
    }
}
