//! Finds the rule that prices a name.
//!
//! Rules that match a name have ranks: exact before prefix before contains, and of each kind the longest model first. Rules of one rank
//! differ in their provider, or in where they are in the table. The first rank with a rule that holds on the day decides:
//!
//! - of each provider, the rule that is first in the table counts;
//! - if all providers ask the same, that is the price;
//! - else, if one of them is in the operator's file, that is the price: operators write down what they pay;
//! - else there is none, because it would be a guess. The name of the provider in front of the model tells which one is meant.

use chrono::NaiveDate;

use super::name::Name;
use super::price::{Match, Price};
use super::rule::Rule;

/// The indices of the rules that match a name, by rank.
pub(super) type Ranks = Vec<Vec<usize>>;

/// What a rank says of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision<'p> {
    /// These rows, of different tiers, hold.
    Rows(&'p [Price]),
    /// Several providers ask different prices.
    Ambiguous,
    /// No rule of the rank holds on the day.
    NotYet,
}

/// Returns the rules that match a name, by rank. A name with a provider in front is compared with the rows of that one; those of others
/// only match with all of it.
pub(super) fn ranks<'r>(name: &Name, rules: impl Iterator<Item = &'r Rule> + Clone) -> Ranks {
    let is_of = |rule: &Rule| name.provider.as_deref().is_none_or(|provider| rule.provider() == provider);
    let mut ranks = ranked(rules.clone(), |rule| is_of(rule) && rule.kind().fits(rule.model(), &name.bare));
    if name.provider.is_some() {
        ranks.extend(ranked(rules, |rule| {
            rule.kind() != Match::Contains && rule.kind().fits(rule.model(), &name.whole)
        }));
    }
    ranks
}

fn ranked<'r>(rules: impl Iterator<Item = &'r Rule>, matches: impl Fn(&Rule) -> bool) -> Ranks {
    let rank = |rule: &Rule| (rule.kind(), std::cmp::Reverse(rule.model().len()));
    let found = rules.enumerate().filter(|(_, rule)| matches(rule));
    let mut found: Vec<_> = found.map(|(index, rule)| (rank(rule), index)).collect();
    found.sort_unstable();
    found.chunk_by(|a, b| a.0 == b.0).map(|rank| rank.iter().map(|(_, index)| *index).collect()).collect()
}

/// Returns what the rules of a rank, in the order of the table, say of a day.
pub(super) fn decide<'p>(rules: &'p [Rule], rank: &[usize], day: NaiveDate) -> Decision<'p> {
    if let [only] = rank {
        return rules[*only].on(day).map_or(Decision::NotYet, Decision::Rows);
    }
    let mut by_provider: Vec<&[Price]> = Vec::new();
    for rows in rank.iter().filter_map(|index| rules[*index].on(day)) {
        if by_provider.iter().all(|known| known[0].provider != rows[0].provider) {
            by_provider.push(rows);
        }
    }
    let Some((first, others)) = by_provider.split_first() else { return Decision::NotYet };
    if others.iter().all(|rows| asks_the_same(first, rows)) {
        return Decision::Rows(first);
    }
    let mut own = by_provider.iter().filter(|rows| rows.iter().any(|row| row.own));
    match (own.next(), own.next()) {
        (Some(only), None) => Decision::Rows(only),
        _ => Decision::Ambiguous,
    }
}

fn asks_the_same(a: &[Price], b: &[Price]) -> bool {
    let asked = |rows: &[Price]| -> Vec<_> {
        rows.iter().map(|row| (row.tier_from_prompt_tokens, row.rates.in_effect())).collect()
    };
    asked(a) == asked(b)
}
