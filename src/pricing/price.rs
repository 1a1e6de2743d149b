//! A price: one row of the table.

use std::fmt;

use chrono::NaiveDate;
use strum::{EnumString, IntoStaticStr};

/// How the model of a row is compared with a name. The order is that in which rows are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, EnumString, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Match {
    /// The name is the model.
    Exact,
    /// The name begins with it.
    Prefix,
    /// It is anywhere in the name.
    Contains,
}

impl Match {
    /// Returns its name in the table.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Returns whether `name` matches `model`; both are in lower case.
    pub(super) fn fits(self, model: &str, name: &str) -> bool {
        match self {
            Self::Exact => name == model,
            Self::Prefix => name.starts_with(model),
            Self::Contains => name.contains(model),
        }
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a million tokens cost, in billionths of a US dollar. Where there is no price of their own, cached tokens cost as much as other
/// tokens of the prompt, and tokens of reasoning as much as others of the completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rates {
    /// Tokens of the prompt.
    pub input: i64,
    /// Tokens of the completion.
    pub output: i64,
    /// Tokens of the prompt that came from a cache.
    pub cache_read: Option<i64>,
    /// Tokens written to a cache. For information: no event says how many these were.
    pub cache_write: Option<i64>,
    /// Tokens of the completion that were used for reasoning.
    pub reasoning: Option<i64>,
}

impl Rates {
    /// Returns what tokens of the prompt, cached ones, tokens of the completion, and those of reasoning cost.
    pub(super) fn in_effect(&self) -> [i64; 4] {
        let Self { input, output, cache_read, reasoning, .. } = *self;
        [input, cache_read.unwrap_or(input), output, reasoning.unwrap_or(output)]
    }
}

/// A price: one row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// Who sells the model; in lower case, as is the model.
    pub provider: String,
    /// How `model` is compared with names.
    pub kind: Match,
    /// The model, or a part of its name.
    pub model: String,
    /// The first day, in UTC, of the price; `None` if it has always held.
    pub valid_from: Option<NaiveDate>,
    /// The price holds for requests with more tokens of the prompt than this; one of 0 for all. Never negative.
    pub tier_from_prompt_tokens: i32,
    /// What tokens cost.
    pub rates: Rates,
    /// The day on which the figures were last compared with their source, if it is known.
    pub checked: Option<NaiveDate>,
    /// Whether the row is from the operator's file.
    pub own: bool,
}

impl Price {
    /// Returns what tells that a row replaces another one.
    pub(super) fn key(&self) -> (&str, Match, &str, Option<NaiveDate>, i32) {
        (&self.provider, self.kind, &self.model, self.valid_from, self.tier_from_prompt_tokens)
    }

    /// Returns which row it is, such as `contains gemini-1.5-flash`. Rows that differ in provider, day or tier share this.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("{} {}", self.kind, self.model)
    }
}

/// Returns an amount in billionths of a US dollar as dollars, such as `0.075`.
#[must_use]
pub fn dollars(nanos: i64) -> String {
    let text = format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
