//! A rule: the rows of one provider, kind and model, which differ in day and tier.

use chrono::NaiveDate;

use super::price::{Match, Price};

/// The rows that have the same provider, kind and model; at least one.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    /// The newest first, and of each day the highest tier first.
    rows: Vec<Price>,
}

impl Rule {
    pub(super) fn new(row: Price) -> Self {
        Self { rows: vec![row] }
    }

    pub(super) fn add(&mut self, row: Price) {
        self.rows.push(row);
        self.rows.sort_by_key(|row| std::cmp::Reverse((row.valid_from, row.tier_from_prompt_tokens)));
    }

    pub(super) fn provider(&self) -> &str {
        &self.rows[0].provider
    }

    pub(super) fn kind(&self) -> Match {
        self.rows[0].kind
    }

    pub(super) fn model(&self) -> &str {
        &self.rows[0].model
    }

    /// Returns the rows of each day on which prices begin, the newest first.
    pub(super) fn by_day(&self) -> impl Iterator<Item = &[Price]> {
        self.rows.chunk_by(|a, b| a.valid_from == b.valid_from)
    }

    /// Returns every row with the one of its tier that it follows, if there is one.
    pub(super) fn changes(&self) -> Vec<(&Price, Option<&Price>)> {
        let days: Vec<&[Price]> = self.by_day().collect();
        let changes = days.iter().enumerate().flat_map(|(index, rows)| {
            let before = days.get(index + 1).copied().unwrap_or_default();
            rows.iter().map(|row| {
                let of_tier = |old: &&Price| old.tier_from_prompt_tokens == row.tier_from_prompt_tokens;
                (row, before.iter().find(of_tier))
            })
        });
        changes.collect()
    }

    /// Returns the rows that hold on a day, the highest tier first; `None` if none does.
    pub(super) fn on(&self, day: NaiveDate) -> Option<&[Price]> {
        self.by_day().find(|rows| rows[0].valid_from.is_none_or(|from| from <= day))
    }
}

/// Returns which of the rows of a day holds for a prompt.
pub(super) fn of_prompt(rows: &[Price], prompt_tokens: i32) -> Option<&Price> {
    let applies =
        |row: &&Price| row.tier_from_prompt_tokens == 0 || prompt_tokens > row.tier_from_prompt_tokens;
    rows.iter().find(applies)
}
