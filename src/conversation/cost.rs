//! What an answer costs: what was reported, and what the price table makes of its tokens.

use crate::event::Event;
use crate::pricing::{Computed, Prices, computed_cost_nanos};

/// The cost of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerCost {
    /// What was reported, in billionths of a US dollar; 0 if nothing was.
    pub reported_nanos: i64,
    /// What the price table makes of it.
    pub computed: Computed,
}

impl AnswerCost {
    /// Returns the cost of an answer at the prices of its day.
    #[must_use]
    pub fn of(event: &Event, prices: &Prices) -> Self {
        Self { reported_nanos: event.cost_micros * 1_000, computed: computed_cost_nanos(prices, event) }
    }

    /// Returns the computed cost, in billionths of a US dollar; `None` if there is none.
    #[must_use]
    pub const fn computed_nanos(&self) -> Option<i64> {
        match self.computed {
            Computed::Cost(nanos) => Some(nanos),
            Computed::Unpriced | Computed::NotComputable => None,
        }
    }

    /// Returns whether a cost was reported. A reported cost of 0 is none.
    #[must_use]
    pub const fn is_reported(&self) -> bool {
        self.reported_nanos > 0
    }

    /// Returns the cost that counts, in billionths of a US dollar: the reported one, else the computed one.
    #[must_use]
    pub fn counted_nanos(&self) -> i64 {
        if self.is_reported() { self.reported_nanos } else { self.computed_nanos().unwrap_or(0) }
    }
}
