//! Parses the fields of a row. Reasons never quote them.

use chrono::{Datelike, NaiveDate};

use super::price::{Match, Price, Rates};

/// The columns of the table, all of which a file must have, in any order.
pub(super) const COLUMNS: [&str; 11] = [
    "provider",
    "match",
    "model",
    "valid_from",
    "tier_from_prompt_tokens",
    "input",
    "output",
    "cache_read",
    "cache_write",
    "reasoning",
    "checked",
];

/// The maximum price of a million tokens in US dollars: many times that of any model. Higher ones are taken for prices of another unit.
const MAX_DOLLARS: i64 = 10_000;

/// The maximum number of decimals of a price.
const DECIMALS: usize = 9;

/// The maximum length of a model, which is that of the name in an event, in characters.
const MAX_MODEL_CHARS: usize = 100;

/// Years that dates may be of.
const YEARS: std::ops::RangeInclusive<i32> = 2000..=2100;

/// Parses a row whose fields `field` returns by the names of their columns. Returns every reason why it cannot be right.
pub(super) fn parse<'f>(field: impl Fn(&str) -> &'f str, own: bool) -> Result<Price, Vec<String>> {
    let mut reasons = Vec::new();
    let mut amount = |column: &str, is_required: bool| {
        match (field(column), is_required) {
        ("", false) => None,
        (text, _) => dollars_as_nanos(text).or_else(|| {
            reasons.push(format!(
                "{column} must be a number of US dollars per million tokens, from 0 to {MAX_DOLLARS}, with at most \
                 {DECIMALS} decimals, such as 0.075{}",
                if is_required { "" } else { ", or empty" }
            ));
            None
        }),
    }
    };
    let rates = Rates {
        input: amount("input", true).unwrap_or(0),
        output: amount("output", true).unwrap_or(0),
        cache_read: amount("cache_read", false),
        cache_write: amount("cache_write", false),
        reasoning: amount("reasoning", false),
    };
    let mut checked_by = |reason: Option<String>| reasons.extend(reason);
    let (provider, model) = (field("provider").to_lowercase(), field("model").to_lowercase());
    checked_by(wrong_provider(&provider));
    checked_by(wrong_model(&model));
    let kind = field("match").to_lowercase().parse::<Match>();
    checked_by(kind.err().map(|_| "match must be exact, prefix or contains".to_owned()));
    let tier = field("tier_from_prompt_tokens").parse::<u32>().ok().and_then(|tier| i32::try_from(tier).ok());
    checked_by(tier.is_none().then(|| {
        format!(
            "tier_from_prompt_tokens must be a whole number from 0 to {}; 0 is for all requests",
            i32::MAX
        )
    }));
    let mut date = |column: &str| match field(column) {
        "" => None,
        text => day(text).or_else(|| {
            checked_by(Some(format!("{column} must be a day such as 2026-08-21, or empty")));
            None
        }),
    };
    let (valid_from, checked) = (date("valid_from"), date("checked"));
    match (reasons.is_empty(), kind, tier) {
        (true, Ok(kind), Some(tier_from_prompt_tokens)) => {
            Ok(Price { provider, kind, model, valid_from, tier_from_prompt_tokens, rates, checked, own })
        }
        _ => Err(reasons),
    }
}

fn wrong_provider(provider: &str) -> Option<String> {
    let is_name = !provider.is_empty() && !provider.contains(|c: char| c == '/' || c.is_whitespace());
    (!is_name).then(|| "provider must be a name without spaces and slashes, such as google".to_owned())
}

fn wrong_model(model: &str) -> Option<String> {
    let fits = (1..=MAX_MODEL_CHARS).contains(&model.chars().count());
    (!fits).then(|| format!("model must have 1 to {MAX_MODEL_CHARS} characters"))
}

/// Parses dollars exactly, as billionths. Returns `None` for what is no decimal number, or out of bounds.
fn dollars_as_nanos(text: &str) -> Option<i64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(decimals) || decimals.len() > DECIMALS {
        return None;
    }
    let nanos = whole.parse::<i64>().ok().filter(|dollars| *dollars <= MAX_DOLLARS)? * 1_000_000_000;
    let nanos = nanos + format!("{decimals:0<DECIMALS$}").parse::<i64>().ok()?;
    (nanos <= MAX_DOLLARS * 1_000_000_000).then_some(nanos)
}

fn day(text: &str) -> Option<NaiveDate> {
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    (text.len() == 10 && YEARS.contains(&day.year())).then_some(day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_read_exactly_or_not_at_all() {
        for (text, nanos) in [
            ("0", 0),
            ("0.075", 75_000_000),
            ("0.003625", 3_625_000),
            ("15", 15_000_000_000),
            ("0.000000001", 1),
            ("10000", 10_000_000_000_000),
        ] {
            assert_eq!(dollars_as_nanos(text), Some(nanos), "{text}");
        }
        for text in [
            "",
            "-1",
            "+1",
            "-0",
            "nan",
            "inf",
            "1e3",
            "1,5",
            ".5",
            "5.",
            "0x1",
            "10000.000000001",
            "10001",
            "0.0000000001",
            "99999999999999999999",
            "1 2",
            "1.2.3",
            "٣",
        ] {
            assert_eq!(dollars_as_nanos(text), None, "{text}");
        }
    }

    #[test]
    fn days_are_whole_and_of_this_century() {
        assert_eq!(day("2027-01-01"), NaiveDate::from_ymd_opt(2027, 1, 1));
        for text in
            ["2027-02-29", "2027-1-1", "27-01-01", "01/01/2027", "1970-01-01", "9999-01-01", "2027-01-01T"]
        {
            assert_eq!(day(text), None, "{text}");
        }
    }
}
