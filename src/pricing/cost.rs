//! What the tokens of an event cost.

use super::price::Price;
use super::table::Prices;
use crate::event::Event;

/// The maximum cost of an answer, as of a reported one: 9,999.999999 US dollars, in billionths.
pub const MAX_COST_NANOS: i64 = 9_999_999_999_000;

/// The tokens of an answer. Negative numbers count as 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TokenCounts {
    /// Those of the prompt.
    pub prompt: i32,
    /// Those of the completion.
    pub completion: i32,
    /// Those of the prompt that came from a cache; more than all count as all.
    pub cached: i32,
    /// Those of the completion that were used for reasoning; more than all count as all.
    pub reasoning: i32,
}

impl Price {
    /// Returns what the tokens cost, in billionths of a US dollar, rounded half up; at most [`MAX_COST_NANOS`].
    #[must_use]
    pub fn cost_nanos(&self, tokens: &TokenCounts) -> i64 {
        let (prompt, completion) = (tokens.prompt.max(0), tokens.completion.max(0));
        let cached = tokens.cached.clamp(0, prompt);
        let reasoned = tokens.reasoning.clamp(0, completion);
        let parts = [prompt - cached, cached, completion - reasoned, reasoned];
        let costs = parts.iter().zip(self.rates.in_effect());
        let per_million: i128 = costs.map(|(tokens, rate)| i128::from(*tokens) * i128::from(rate)).sum();
        let nanos = (per_million + 500_000) / 1_000_000;
        i64::try_from(nanos).unwrap_or(MAX_COST_NANOS).min(MAX_COST_NANOS)
    }
}

/// What the price table makes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Computed {
    /// The cost in billionths of a US dollar.
    Cost(i64),
    /// No price matches the model.
    Unpriced,
    /// The event lacks the tokens of its prompt, of its completion, or both.
    NotComputable,
}

/// Computes the cost of an event from its tokens, at the price of the day, in UTC, on which it was received.
#[must_use]
pub fn computed_cost_nanos(prices: &Prices, event: &Event) -> Computed {
    let (Some(prompt), Some(completion)) = (event.prompt_tokens, event.completion_tokens) else {
        return Computed::NotComputable;
    };
    let Some(price) = prices.of(&event.model_name, event.at.date_naive(), prompt) else {
        return Computed::Unpriced;
    };
    let cached = event.cached_tokens.unwrap_or(0);
    let reasoning = event.reasoning_tokens.unwrap_or(0);
    Computed::Cost(price.cost_nanos(&TokenCounts { prompt, completion, cached, reasoning }))
}
