//! The price table.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use chrono::NaiveDate;
use parking_lot::RwLock;

use super::explanation::Explanation;
use super::lookup::{Decision, Ranks, decide, ranks};
use super::name::Name;
use super::price::{Match, Price};
use super::rule::{Rule, of_prompt};
use super::text::{self, Numbered, PriceError};

/// The table that is built in.
const BUILT_IN: &str = include_str!("model-prices.csv");

/// The maximum number of names whose rules are remembered; then all are forgotten. A name has at most some hundred bytes.
const MAX_REMEMBERED: usize = 1_024;

/// The price table.
///
/// Events have few different names, so that the rules that match a name are remembered: finding a price again takes 100 ns, and
/// for the first time 7 µs.
#[derive(Debug)]
pub struct Prices {
    /// In the order of the table.
    rules: Vec<Rule>,
    providers: HashSet<String>,
    remembered: RwLock<HashMap<String, Ranks>>,
}

impl Prices {
    /// Returns the table that is built in.
    #[must_use]
    pub fn built_in() -> Arc<Self> {
        static TABLE: LazyLock<Arc<Prices>> =
            LazyLock::new(|| Arc::new(Prices::parse(None).expect("a test reads the built-in table")));
        Arc::clone(&TABLE)
    }

    /// Parses the built-in table and, if there is one, the text of the operator's file, whose rows replace those that have the same
    /// provider, match, model, `valid_from` and `tier_from_prompt_tokens`. Returns everything that is wrong with the file.
    pub fn parse(file: Option<&str>) -> Result<Self, Vec<PriceError>> {
        let (mut rows, mut errors) = text::parse(BUILT_IN, false);
        if let Some(file) = file {
            let (own, wrong) = text::parse(file, true);
            errors.extend(wrong);
            rows = merged(rows, own);
        }
        errors.extend(without_base(&rows));
        errors.sort_by_key(|error| error.line);
        if errors.is_empty() {
            Ok(Self::from_rows(rows.into_iter().map(|(_, row)| row)))
        } else {
            Err(errors)
        }
    }

    fn from_rows(rows: impl Iterator<Item = Price>) -> Self {
        let mut rules: Vec<Rule> = Vec::new();
        let mut known: HashMap<(String, Match, String), usize> = HashMap::new();
        for row in rows {
            let key = (row.provider.clone(), row.kind, row.model.clone());
            if let Some(index) = known.get(&key) {
                rules[*index].add(row);
            } else {
                known.insert(key, rules.len());
                rules.push(Rule::new(row));
            }
        }
        let providers = rules.iter().map(|rule| rule.provider().to_owned()).collect();
        Self { rules, providers, remembered: RwLock::default() }
    }

    /// Returns the price of a model on a day, in UTC, for a request with so many tokens in its prompt; `None` if there is none. The rules
    /// for finding it are in `lookup.rs`.
    #[must_use]
    pub fn of(&self, model_name: &str, day_utc: NaiveDate, prompt_tokens: i32) -> Option<&Price> {
        if let Some(ranks) = self.remembered.read().get(model_name) {
            return self.of_ranks(ranks, day_utc, prompt_tokens);
        }
        let ranks = self.ranks(&self.name(model_name));
        let price = self.of_ranks(&ranks, day_utc, prompt_tokens);
        let mut remembered = self.remembered.write();
        if remembered.len() >= MAX_REMEMBERED {
            remembered.clear();
        }
        remembered.insert(model_name.to_owned(), ranks);
        price
    }

    fn of_ranks(&self, ranks: &Ranks, day: NaiveDate, prompt_tokens: i32) -> Option<&Price> {
        for rank in ranks {
            match decide(&self.rules, rank, day) {
                Decision::Rows(rows) => return of_prompt(rows, prompt_tokens),
                Decision::Ambiguous => return None,
                Decision::NotYet => {}
            }
        }
        None
    }

    /// Explains how the price of a model on a day, in UTC, is found.
    #[must_use]
    pub fn explain(&self, model_name: &str, day_utc: NaiveDate) -> Explanation<'_> {
        let name = self.name(model_name);
        let ranks = self.ranks(&name);
        Explanation::new(name, &self.rules, &ranks, day_utc)
    }

    fn name(&self, model_name: &str) -> Name {
        Name::read(model_name, |provider| self.providers.contains(provider))
    }

    fn ranks(&self, name: &Name) -> Ranks {
        ranks(name, self.rules.iter())
    }

    /// Iterates over all rows, in the order of the table, those of one rule together: the newest first, and the highest tier first.
    pub fn rows(&self) -> impl Iterator<Item = &Price> {
        self.rules.iter().flat_map(Rule::by_day).flatten()
    }

    /// Iterates over the rows that hold on a day, in UTC, in the order of the table; those of one rule together, the lowest tier first.
    pub fn holding(&self, day_utc: NaiveDate) -> impl Iterator<Item = &Price> {
        self.rules.iter().filter_map(move |rule| rule.on(day_utc)).flat_map(|rows| rows.iter().rev())
    }

    /// Iterates over the rows that begin to hold after `day_utc` and at latest `until`, each with the row that it follows, if there is one
    /// of its tier.
    pub fn changes(
        &self,
        day_utc: NaiveDate,
        until: NaiveDate,
    ) -> impl Iterator<Item = (&Price, Option<&Price>)> {
        let begins = move |row: &Price| row.valid_from.is_some_and(|from| from > day_utc && from <= until);
        self.rules.iter().flat_map(Rule::changes).filter(move |(row, _)| begins(row))
    }
}

/// Replaces rows by those of the operator's that stand for the same, and appends the others.
fn merged(built_in: Vec<Numbered>, own: Vec<Numbered>) -> Vec<Numbered> {
    let mut rows = built_in;
    let key = |row: &Price| {
        (row.provider.clone(), row.kind, row.model.clone(), row.valid_from, row.tier_from_prompt_tokens)
    };
    let known: HashMap<_, usize> =
        rows.iter().enumerate().map(|(index, (_, row))| (key(row), index)).collect();
    for (line, row) in own {
        match known.get(&key(&row)) {
            Some(index) => rows[*index] = (line, row),
            None => rows.push((line, row)),
        }
    }
    rows
}

/// Returns errors for tiers whose model has no price for smaller requests on the same day.
fn without_base(rows: &[Numbered]) -> Vec<PriceError> {
    let base = |row: &Price| (row.provider.clone(), row.kind, row.model.clone(), row.valid_from);
    let bases: HashSet<_> =
        rows.iter().filter(|(_, row)| row.tier_from_prompt_tokens == 0).map(|(_, row)| base(row)).collect();
    let lacking = rows.iter().filter(|(_, row)| !bases.contains(&base(row)));
    let errors = lacking.map(|(line, _)| PriceError {
        line: *line,
        reason: "needs a row with the same provider, match, model and valid_from, and with \
                 tier_from_prompt_tokens 0, for smaller requests"
            .to_owned(),
    });
    errors.collect()
}
