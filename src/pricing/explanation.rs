//! Why a price is that of a name.

use chrono::NaiveDate;

use super::lookup::{Decision, Ranks, decide};
use super::name::Name;
use super::price::Price;
use super::rule::Rule;

/// What became of a rule that matches a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the price.
    Holds,
    /// It asks the same as the price, or the operator's own price is preferred.
    Beside,
    /// It asks another price than that of another provider, which matches as well: there is no price.
    Ambiguous,
    /// It holds from a later day on.
    NotYet,
    /// Another rule matches better.
    Outranked,
}

/// How the price of a name is found.
#[derive(Debug)]
pub struct Explanation<'p> {
    /// The provider in front of the name, if the table has it.
    pub provider: Option<String>,
    /// The name that models are compared with.
    pub name: String,
    /// The rows, of different tiers, that price it, the lowest tier first; none if it has no price.
    pub rows: Vec<&'p Price>,
    /// All rules that match, the best first, each with one of its rows.
    pub rules: Vec<(Verdict, &'p Price)>,
}

impl<'p> Explanation<'p> {
    pub(super) fn new(name: Name, rules: &'p [Rule], ranks: &Ranks, day: NaiveDate) -> Self {
        let mut explanation =
            Self { provider: name.provider, name: name.bare, rows: Vec::new(), rules: Vec::new() };
        let mut is_decided = false;
        for rank in ranks {
            let decision = decide(rules, rank, day);
            explanation.rules.extend(rank.iter().filter_map(|index| {
                let on_day = rules[*index].on(day);
                let rows = on_day.or_else(|| rules[*index].by_day().next())?;
                let verdict = match decision {
                    _ if is_decided => Verdict::Outranked,
                    Decision::NotYet => Verdict::NotYet,
                    _ if on_day.is_none() => Verdict::NotYet,
                    Decision::Ambiguous => Verdict::Ambiguous,
                    Decision::Rows(held) if std::ptr::eq(held, rows) => Verdict::Holds,
                    Decision::Rows(_) => Verdict::Beside,
                };
                Some((verdict, &rows[0]))
            }));
            if let Decision::Rows(held) = decision
                && !is_decided
            {
                explanation.rows = held.iter().rev().collect();
            }
            is_decided |= decision != Decision::NotYet;
        }
        explanation
    }
}
