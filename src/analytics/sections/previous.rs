//! `previous`.

use chrono::{Days, NaiveDate};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Basis, Conversations, Funnel, Metrics, Totals, counted_cost};
use crate::analytics::{Period, Rate, Usd};
use crate::conversation::DailySums;
use crate::store::{Day, Figures};

/// The same figures for as many days before, as many whole weeks earlier as it takes.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Previous {
    /// The first of these days.
    #[schema(format = Date)]
    pub from: String,
    /// The last.
    #[schema(format = Date)]
    pub to: String,
    /// Sums and averages of answers.
    pub metrics: Metrics,
    /// Conversations; `None` if none of these days are known.
    #[schema(required)]
    pub conversations: Option<Conversations>,
    /// The funnel; likewise.
    #[schema(required)]
    pub funnel: Option<Funnel>,
    /// What changed since.
    pub change: Change,
}

/// How figures changed: the difference, of what they were before. Where the period contains today, which is not over, today and the day that it
/// would be compared with are left out, and so are days to come. What counts conversations is `None` unless those of all these days are known.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Change {
    /// Answers.
    pub answers: Rate<i64>,
    /// Answers in which the AI failed.
    pub errors: Rate<i64>,
    /// Tokens of prompts and completions together.
    pub tokens: Rate<i64>,
    /// The counted cost.
    pub cost_usd: Rate<Usd>,
    /// Conversations.
    #[schema(required)]
    pub conversations: Option<Rate<i64>>,
    /// Conversations in which an appointment was requested.
    #[schema(required)]
    pub requested: Option<Rate<i64>>,
    /// Booked conversations.
    #[schema(required)]
    pub booked: Option<Rate<i64>>,
    /// Conversations whose appointment was kept.
    #[schema(required)]
    pub kept: Option<Rate<i64>>,
    /// Conversations whose appointment was cancelled.
    #[schema(required)]
    pub cancelled: Option<Rate<i64>>,
    /// Conversations whose customer did not come.
    #[schema(required)]
    pub no_show: Option<Rate<i64>>,
    /// Requested, and neither booked, nor claimed, nor handed to a person.
    #[schema(required)]
    pub dropped: Option<Rate<i64>>,
    /// Conversations handed to a person.
    #[schema(required)]
    pub handoffs: Option<Rate<i64>>,
}

impl Previous {
    /// Compares the figures of `period` with the `previous` ones.
    pub(in crate::analytics) fn of(
        current: &Figures,
        previous: &Figures,
        period: &Period,
        today: NaiveDate,
        basis: Basis,
    ) -> Self {
        let days = period.previous();
        let totals = Totals::of(&previous.days, days.to, basis, |_| true);
        let counterpart = today - Days::new(period.shift());
        let now = Totals::of(&current.days, period.days.to, basis, |day| day < today);
        let before = Totals::of(&previous.days, days.to, basis, |day| day < counterpart);
        Self {
            from: days.from.to_string(),
            to: days.to.to_string(),
            metrics: totals.all.answers.into(),
            conversations: Conversations::of(&totals),
            funnel: Funnel::of(&totals, basis),
            change: Change::of(&now.all, &before.all, basis, basis.knows(days.from)),
        }
    }
}

impl Change {
    fn of(now: &Day, before: &Day, basis: Basis, is_known: bool) -> Self {
        let of_facts = |count: fn(Basis, &DailySums) -> i64| {
            is_known.then(|| Rate::change(count(basis, &now.facts), count(basis, &before.facts)))
        };
        Self {
            answers: Rate::change(now.answers.events, before.answers.events),
            errors: Rate::change(now.answers.errors, before.answers.errors),
            tokens: Rate::change(now.answers.tokens, before.answers.tokens),
            cost_usd: Rate::change_of_amount(counted_cost(now), counted_cost(before)),
            conversations: of_facts(|_, facts| facts.conversations),
            requested: of_facts(|_, facts| facts.requested),
            booked: of_facts(Basis::booked_of),
            kept: of_facts(|_, facts| facts.kept),
            cancelled: of_facts(|_, facts| facts.cancelled),
            no_show: of_facts(|_, facts| facts.no_show),
            dropped: of_facts(|_, facts| facts.dropped),
            handoffs: of_facts(|_, facts| facts.handoffs),
        }
    }
}
