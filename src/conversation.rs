//! Conversations: the events of one business with the same conversation id. What is known about each of them, and what they
//! add up to. No I/O here.

mod cost;
mod digest;
mod facts;
mod outcome;
mod sums;

pub use cost::AnswerCost;
pub use digest::Digest;
pub use facts::{ConversationKey, Facts, FirstAnswer};
pub use outcome::{BookEntry, Outcome, OutcomeState, PostedOutcome};
pub use sums::{
    Cells, CostSums, DailySums, FactSums, FactTotals, FirstLatencySums, HourlySums, IntentSums, OutcomeSums,
    Part, SumRow, TotalKind,
};
