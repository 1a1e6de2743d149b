//! `prices`: shows the price table, and what it lacks.

use std::process::ExitCode;

use chrono::NaiveDate;
use clap::{Args, Subcommand};

use super::check;
use super::output::finish;
use crate::clock::Clock;
use crate::config::Config;
use crate::pricing::{Explanation, Price, Prices, Verdict, dollars};

#[derive(Debug, Clone, Subcommand)]
pub(super) enum Verb {
    /// List the prices that hold today, in US dollars per million tokens
    List(List),
    /// Check the table for models without a price, prices about to change, and old figures; exits with 1 if a model has no price
    Check(check::Options),
}

#[derive(Debug, Clone, Args)]
pub(super) struct List {
    /// Show which row prices this model today, and why; exits with 1 if none does
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
}

pub(super) async fn run(config: Config, verb: Verb) -> ExitCode {
    let (prices, today) = (config.prices(), Clock::system().now().date_naive());
    match verb {
        Verb::Check(options) => check::prices(&config, &options, &prices, today).await,
        Verb::List(List { model: None }) => finish(table(prices.holding(today)), ExitCode::SUCCESS),
        Verb::List(List { model: Some(name) }) => explain(&prices, &name, today),
    }
}

/// Prints which row prices a name, and why.
fn explain(prices: &Prices, name: &str, today: NaiveDate) -> ExitCode {
    let explanation = prices.explain(name, today);
    let code = if explanation.rows.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    finish(explained(&explanation, today), code)
}

fn explained(explanation: &Explanation<'_>, today: NaiveDate) -> String {
    let Explanation { provider, name, rows, rules } = explanation;
    let of = match provider {
        Some(provider) => format!("the rows of {provider}"),
        None => "the rows of all providers".to_owned(),
    };
    let mut lines = vec![format!("Compared as \"{name}\" with {of}, on {today} (UTC)."), String::new()];
    match rows.first() {
        Some(price) => {
            lines.push(format!("Priced by: {} {}", price.provider, price.describe()));
            lines.push(table(rows.iter().copied()));
        }
        None => lines.push(format!("It has no price: {}.", why_none(rules))),
    }
    if !rules.is_empty() {
        lines.extend([String::new(), "Rows that match it, the best first:".to_owned()]);
        let rule = |(verdict, price): &(Verdict, &Price)| {
            [price.provider.clone(), price.kind.to_string(), price.model.clone(), why(*verdict).to_owned()]
        };
        lines.push(aligned(rules.iter().map(rule)));
    }
    lines.join("\n")
}

const fn why(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => "is the price",
        Verdict::Beside => {
            "matches as well as the price, which is the same, your own, or earlier in the table"
        }
        Verdict::Ambiguous => "asks another price than other providers whose rows match as well",
        Verdict::NotYet => "does not hold yet",
        Verdict::Outranked => "matches, but not as well",
    }
}

fn why_none(rules: &[(Verdict, &Price)]) -> &'static str {
    match rules.iter().map(|(verdict, _)| verdict).find(|verdict| **verdict != Verdict::NotYet) {
        Some(_) => {
            "providers ask different prices; put the provider in front of the name (PROVIDER/NAME) where events come \
             from, or add a row to PRICES_FILE"
        }
        None if rules.is_empty() => "no row matches; add one to PRICES_FILE",
        None => "the rows that match hold from a later day on; add one to PRICES_FILE",
    }
}

/// Returns rows as a table.
fn table<'p>(rows: impl Iterator<Item = &'p Price>) -> String {
    let header = [
        "PROVIDER",
        "MATCH",
        "MODEL",
        "FROM",
        "OVER",
        "INPUT",
        "OUTPUT",
        "CACHED",
        "WRITE",
        "REASONING",
        "CHECKED",
        "SOURCE",
    ];
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let cells = rows.map(|price| {
        let optional = |rate: Option<i64>| or_dash(rate.map(dollars));
        [
            price.provider.clone(),
            price.kind.to_string(),
            price.model.clone(),
            or_dash(price.valid_from.map(|day| day.to_string())),
            price.tier_from_prompt_tokens.to_string(),
            dollars(price.rates.input),
            dollars(price.rates.output),
            optional(price.rates.cache_read),
            optional(price.rates.cache_write),
            optional(price.rates.reasoning),
            or_dash(price.checked.map(|day| day.to_string())),
            if price.own { "PRICES_FILE" } else { "built-in" }.to_owned(),
        ]
    });
    aligned(std::iter::once(header.map(ToOwned::to_owned)).chain(cells))
}

/// Aligns cells in columns.
fn aligned<const N: usize>(rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = rows.collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
