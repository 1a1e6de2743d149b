//! Checks of the price table: whom it can be changed by, and what it lacks.

use std::collections::BTreeMap;

use chrono::{NaiveDate, TimeDelta};

use super::database::with_store;
use super::finding::{Check, Finding};
use crate::config::Config;
use crate::pricing::{Price, Prices, dollars};
use crate::rollup::Sum;
use crate::store::Store;

/// How long before a price changes that is a finding.
const AHEAD: TimeDelta = TimeDelta::days(60);

/// The maximum age of a figure.
const MAX_AGE: TimeDelta = TimeDelta::days(365);

/// The maximum number of items that a finding lists.
const MAX_LISTED: usize = 20;

const FILE: Check = Check::new("prices-file", "PRICES_FILE");
const MODELS: Check = Check::new("prices-models", "the models of all events, and the price table");
const CHANGES: Check = Check::new("prices-changes", "prices that change within 60 days");
const AGE: Check = Check::new("prices-age", "when the rows of the price table were last checked");

/// Checks who can change the operator's file; its rows are checked with the settings.
pub(super) fn file(config: &Config) -> Finding {
    let Some(file) = &config.prices_file else {
        return FILE.not_applicable("not set: the built-in price table is used");
    };
    let own = config.prices().rows().filter(|price| price.own).count();
    let found = format!("{own} rows of it replace built-in ones or are beside them");
    match is_writable_by_everyone(&file.path) {
        Some(true) => FILE.wrong(
            format!("{found}; everyone on this machine can change it, and with it what answers cost"),
            format!("chmod o-w {}", file.path.display()),
        ),
        Some(false) => FILE.ok(found),
        None => FILE.warning(
            format!("{found}; it cannot be looked at any more"),
            "put it back: the service does not start without it",
        ),
    }
}

/// Returns whether everyone may write a file; `None` if it cannot be looked at.
#[cfg(unix)]
fn is_writable_by_everyone(path: &std::path::Path) -> Option<bool> {
    use std::os::unix::fs::MetadataExt;
    path.metadata().ok().map(|file| file.mode() & 0o002 != 0)
}

#[cfg(not(unix))]
fn is_writable_by_everyone(path: &std::path::Path) -> Option<bool> {
    path.metadata().ok().map(|_| false)
}

/// Runs the checks of what the table lacks on a day, in UTC.
pub(super) async fn checks(store: Option<&Store>, prices: &Prices, today: NaiveDate) -> [Finding; 3] {
    [models(store, prices, today).await, changes(prices, today), age(prices, today)]
}

/// Checks that every model that events name has a price.
async fn models(store: Option<&Store>, prices: &Prices, today: NaiveDate) -> Finding {
    let seen = match with_store(MODELS, store, seen_models).await {
        Ok(seen) => seen,
        Err(finding) => return finding,
    };
    let mut unpriced: Vec<(&String, &i64)> =
        seen.iter().filter(|(name, _)| prices.of(name, today, 0).is_none()).collect();
    unpriced.sort_by_key(|(_, events)| std::cmp::Reverse(**events));
    if unpriced.is_empty() {
        return MODELS.ok(format!("{} models, each with a price", seen.len()));
    }
    let listed = listed(unpriced.iter().map(|(name, events)| format!("{} ({events} events)", shown(name))));
    MODELS.wrong(
        format!("{} of {} models have no price: {listed}", unpriced.len(), seen.len()),
        "see mlops-service prices list --model NAME, and add rows for them to PRICES_FILE",
    )
}

/// Returns the number of events of each model.
async fn seen_models(store: &Store) -> Result<BTreeMap<String, i64>, crate::store::StoreError> {
    let mut seen = BTreeMap::new();
    let add = |key: &crate::rollup::Key, sums: &crate::rollup::Sums| {
        *seen.entry(key.model_name.clone()).or_default() += sums[Sum::Events];
    };
    store.totals(&[], drop, add).await?;
    Ok(seen)
}

/// Returns a name as a terminal may show it: rows of other programs may hold anything.
fn shown(name: &str) -> String {
    match name {
        "" => "\"\"".to_owned(),
        name => name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect(),
    }
}

fn changes(prices: &Prices, today: NaiveDate) -> Finding {
    let changes: Vec<String> =
        prices.changes(today, today + AHEAD).map(|(new, old)| change(new, old)).collect();
    match changes.len() {
        0 => CHANGES.ok("none"),
        _ => CHANGES.warning(
            listed(changes.into_iter()),
            "nothing to do, but what answers cost changes on these days: tell who pays for them",
        ),
    }
}

/// Returns a line about a change, such as `google prefix gemini-3.7-flash from 2027-01-01: input 0.75 to 1.5, output 3.75 to 7.5`.
fn change(new: &Price, old: Option<&Price>) -> String {
    let rate = |name: &str, rate: fn(&Price) -> i64| match old.map(rate) {
        Some(before) => format!("{name} {} to {}", dollars(before), dollars(rate(new))),
        None => format!("{name} {}", dollars(rate(new))),
    };
    let tier = match new.tier_from_prompt_tokens {
        0 => String::new(),
        tier => format!(", over {tier} tokens"),
    };
    let from = new.valid_from.map(|day| day.to_string()).unwrap_or_default();
    let (input, output) =
        (rate("input", |price| price.rates.input), rate("output", |price| price.rates.output));
    format!("{} {}{tier} from {from}: {input}, {output}", new.provider, new.describe())
}

/// Checks that figures that hold now were compared with their sources within a year.
fn age(prices: &Prices, today: NaiveDate) -> Finding {
    let is_old = |price: &&Price| price.checked.is_none_or(|checked| checked + MAX_AGE < today);
    let rows = prices.holding(today).count();
    let mut old: Vec<&Price> = prices.holding(today).filter(is_old).collect();
    // Those that the operator can change come first.
    old.sort_by_key(|price| !price.own);
    if old.is_empty() {
        return AGE.ok(format!("{rows} rows, each within a year"));
    }
    let listed = listed(old.iter().map(|price| format!("{} {}", price.provider, price.describe())));
    AGE.warning(
        format!("{} of {rows} rows over a year ago, or nobody knows when: {listed}", old.len()),
        "compare them with the prices of their providers, and update this service, or write them into PRICES_FILE with \
         the day in \"checked\"",
    )
}

/// Joins the first items with semicolons, and tells how many more there are.
fn listed(items: impl Iterator<Item = String>) -> String {
    let mut items: Vec<String> = items.collect();
    if let Some(more) = items.len().checked_sub(MAX_LISTED).filter(|more| *more > 0) {
        items.truncate(MAX_LISTED);
        items.push(format!("and {more} more"));
    }
    items.join("; ")
}
