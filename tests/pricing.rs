//! The price table: which row prices a model, what an answer costs, what a file of the operator's may say, and the commands.

mod command;
mod cost;
mod file;
mod lookup;

use chrono::NaiveDate;
use mlops_service::pricing::{Price, Prices};

/// The columns of the table, in their usual order.
const HEADER: &str = "provider,match,model,valid_from,tier_from_prompt_tokens,input,output,cache_read,cache_write,reasoning,checked";

/// The text of a file with these rows.
fn file(rows: &[&str]) -> String {
    format!("{HEADER}\n{}\n", rows.join("\n"))
}

/// The table with these rows beside the built-in ones.
fn table(rows: &[&str]) -> Prices {
    Prices::parse(Some(&file(rows))).unwrap()
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// The price of a million tokens of a small prompt, in dollars; `None` if there is no price.
fn input(prices: &Prices, model: &str, on: &str) -> Option<String> {
    prices.of(model, day(on), 1).map(input_of)
}

fn input_of(price: &Price) -> String {
    mlops_service::pricing::dollars(price.rates.input)
}
