//! What models cost: the price table, and the costs that follow from the tokens of events.
//!
//! The table is built in (`pricing/model-prices.csv`); a file of the operator's, in the same form, replaces rows or adds some. How a
//! name finds its price is in `pricing/lookup.rs`, and for operators in docs/configuration.md.

mod cost;
mod explanation;
mod lookup;
mod name;
mod price;
mod row;
mod rule;
mod table;
mod text;

pub use cost::{Computed, MAX_COST_NANOS, TokenCounts, computed_cost_nanos};
pub use explanation::{Explanation, Verdict};
pub use price::{Match, Price, Rates, dollars};
pub use table::Prices;
pub use text::PriceError;
