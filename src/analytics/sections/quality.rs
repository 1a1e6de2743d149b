//! `quality`.

use serde::Serialize;
use utoipa::ToSchema;

use super::Totals;
use crate::analytics::Rate;

/// How far the figures can be trusted.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Quality {
    /// Stored answers that name no conversation, of all stored ones; like the rates below except those of costs, of days whose
    /// conversations are known.
    pub answers_without_conversation: Rate<i64>,
    /// Answers that were counted and not stored, for want of consent or after an erasure: no conversation has them.
    #[schema(minimum = 0)]
    pub answers_without_facts: i64,
    /// Answers whose token counts are a guess, of all stored ones.
    pub estimated_tokens: Rate<i64>,
    /// Answers without a price, of those with both token counts.
    pub unpriced: Rate<i64>,
    /// Answers of which the computed cost counts, of those with a cost.
    pub computed_cost: Rate<i64>,
    /// Answers of which the reported cost counts, of those with a cost.
    pub reported_cost: Rate<i64>,
    /// Answers without both token counts.
    #[schema(minimum = 0)]
    pub not_computable: i64,
    /// Bookings that no event claims, of those in the book or posted.
    pub bookings_unclaimed: Rate<i64>,
}

impl Quality {
    pub(in crate::analytics) fn of(totals: &Totals) -> Self {
        let (costs, known) = (&totals.all.costs, totals.known.unwrap_or_default());
        let (facts, with_cost) = (&known.facts, costs.reported + costs.filled);
        Self {
            answers_without_conversation: Rate::of(facts.answers_without_conversation, facts.answers),
            answers_without_facts: known.answers.events.saturating_sub(facts.answers).max(0),
            estimated_tokens: Rate::of(costs.estimated, costs.answers),
            unpriced: Rate::of(costs.unpriced, costs.answers - costs.not_computable),
            computed_cost: Rate::of(costs.filled, with_cost),
            reported_cost: Rate::of(costs.reported, with_cost),
            not_computable: costs.not_computable,
            bookings_unclaimed: Rate::of(facts.booked_not_claimed, facts.booked),
        }
    }
}
