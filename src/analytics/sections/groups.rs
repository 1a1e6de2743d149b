//! `by_model`, `by_intent` and `by_response_type`: the groups with the most answers first.

use std::cmp::Reverse;

use serde::Serialize;
use utoipa::ToSchema;

use super::Basis;
use crate::analytics::Usd;
use crate::store::Figures;

/// A model.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OfModel {
    /// Its name.
    pub model_name: String,
    /// Answers.
    #[schema(minimum = 0)]
    pub answers: i64,
    /// Tokens of prompts and completions together.
    #[schema(minimum = 0)]
    pub tokens: i64,
    /// What events reported.
    pub reported_cost_usd: Usd,
    /// What the price table makes of answers with both token counts.
    pub computed_cost_usd: Usd,
    /// The row of the price table that applies today.
    #[schema(required)]
    pub price: Option<String>,
}

/// An intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OfIntent {
    /// Its name.
    pub intent: String,
    /// Answers with this intent.
    #[schema(minimum = 0)]
    pub answers: i64,
    /// Conversations whose first answer has it; `None` if no conversation of the period is known.
    #[schema(required, minimum = 0)]
    pub conversations: Option<i64>,
    /// Those of them in which an appointment was requested.
    #[schema(required, minimum = 0)]
    pub requested: Option<i64>,
    /// Those of them with a booking.
    #[schema(required, minimum = 0)]
    pub booked: Option<i64>,
    /// Answers with this intent in which the AI failed.
    #[schema(minimum = 0)]
    pub errors: i64,
}

/// A response type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OfResponseType {
    /// Its name.
    pub response_type: String,
    /// Answers.
    #[schema(minimum = 0)]
    pub answers: i64,
}

impl OfModel {
    /// Returns every model. `price_of` describes the price of one.
    pub(in crate::analytics) fn all(
        figures: &Figures,
        price_of: impl Fn(&str) -> Option<String>,
    ) -> Vec<Self> {
        let models = figures.models.iter().map(|(name, sums)| Self {
            model_name: name.clone(),
            answers: sums.answers.events,
            tokens: sums.answers.tokens,
            reported_cost_usd: Usd::from_micros(sums.answers.cost_micros),
            computed_cost_usd: Usd::from_nanos(sums.costs.computed_nanos),
            price: price_of(name),
        });
        by_answers(models.collect(), |model| model.answers)
    }
}

impl OfIntent {
    /// The names of its fields, in order.
    pub const COLUMNS: [&'static str; 6] =
        ["intent", "answers", "conversations", "requested", "booked", "errors"];

    /// Returns every intent. Conversations are `None` unless some are known.
    pub(in crate::analytics) fn all(figures: &Figures, basis: Basis, are_known: bool) -> Vec<Self> {
        let known = |count: i64| are_known.then_some(count);
        let intents = figures.intents.iter().map(|(name, sums)| Self {
            intent: name.clone(),
            answers: sums.answers,
            conversations: known(sums.conversations),
            requested: known(sums.requested),
            booked: known(basis.booked(sums.booked, sums.claimed_not_booked)),
            errors: sums.errors,
        });
        by_answers(intents.collect(), |intent| intent.answers)
    }
}

impl OfResponseType {
    pub(in crate::analytics) fn all(figures: &Figures) -> Vec<Self> {
        let types = figures.response_types.iter();
        let types = types.map(|(name, answers)| Self { response_type: name.clone(), answers: *answers });
        by_answers(types.collect(), |of_type| of_type.answers)
    }
}

/// Sorts groups by their answers; those with as many stay sorted by name.
fn by_answers<T>(mut groups: Vec<T>, answers: impl Fn(&T) -> i64) -> Vec<T> {
    groups.sort_by_key(|group| Reverse(answers(group)));
    groups
}
