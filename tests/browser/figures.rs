//! The figures that a page shows are those of the API.

use serde_json::{Value, json};

use super::driver::Browser;
use super::salon::Salon;

const PARTS: &str = "conversations,series,hours,percentiles,by_intent,funnel,cost";

/// A day that is neither the first nor the last of the period.
const SOME_DAY: usize = 10;

/// Returns the headline figures by their names.
const HEADLINES: &str =
    "return Object.fromEntries(Array.from(document.querySelectorAll('.headlines > div'), (each) =>
    [each.querySelector('dt').textContent, each.querySelector('.figure-value').textContent]))";

/// Returns the cells of the table in the element that the first argument selects, without its head.
const ROWS: &str = "return Array.from(document.querySelectorAll(`${arguments[0]} tbody tr`), (row) =>
    Array.from(row.cells, (cell) => cell.textContent.trim()))";

#[tokio::test(flavor = "multi_thread")]
async fn a_page_shows_the_figures_of_the_api() {
    let (salon, browser) = (Salon::with_days(60).await, Browser::start().await);
    salon.sign_in(&browser).await;
    let figures = salon.analytics(&format!("days=30&include={PARTS}")).await;
    salon.open(&browser, "/businesses/acme?days=30").await;
    assert_eq!(figures["funnel"]["kept"], 1, "the figures are not empty");
    assert_headlines(&browser, &figures).await;
    assert_days(&browser, &figures).await;
    assert_ways(&browser, &figures).await;
    browser.client.clone().close().await.unwrap();
}

async fn assert_headlines(browser: &Browser, figures: &Value) {
    let shown = browser.script(HEADLINES).await;
    for (name, figure) in [
        ("Conversations", &figures["conversations"]["conversations"]),
        ("Appointments booked", &figures["funnel"]["booked"]),
        ("Appointments kept", &figures["funnel"]["kept"]),
        ("Handed to a person", &figures["conversations"]["handoff_rate"]["part"]),
        ("Answer time", &figures["percentiles"]["answers"]["p95"]),
        ("Cost", &figures["cost"]["counted_usd"]),
    ] {
        assert_shows(name, &shown[name], figure);
    }
    assert_eq!(shown.as_object().unwrap().len(), 6);
}

/// One row of each table of days.
async fn assert_days(browser: &Browser, figures: &Value) {
    let day = &figures["series"][SOME_DAY];
    let row = async |figure: &str| rows(browser, figure).await[SOME_DAY].clone();
    let conversations = row("#conversations-by-day").await;
    let parts: f64 = (2..5).map(|part| number(&conversations[part]).0).sum();
    assert_shows("conversations of a day", &conversations[1], &day["conversations"]);
    assert_shows("handed over on a day", &conversations[3], &day["handoffs"]);
    assert_shows("errors of a day", &conversations[4], &day["errors"]);
    assert_shows("all parts of a day", &conversations[1], &json!(parts));
    let times = row("#response-time").await;
    assert_shows("half", &times[1], &day["p50_ms"]);
    assert_shows("95 %", &times[2], &day["p95_ms"]);
    let costs = row("#cost").await;
    let all: f64 = costs.as_array().unwrap()[1..].iter().map(|cost| number(cost).0).sum();
    assert!((all - day["cost_usd"].as_f64().unwrap()).abs() < 1e-6, "{costs} and {day}");
    assert_eq!(rows(browser, "#cost").await.as_array().unwrap().len(), 30);
}

/// The tables that have no days.
async fn assert_ways(browser: &Browser, figures: &Value) {
    let steps = rows(browser, "#funnel").await;
    for (place, name) in ["conversations", "requested", "booked", "kept"].into_iter().enumerate() {
        assert_shows(name, &steps[place][1], &figures["funnel"][name]);
    }
    let monday = rows(browser, "#hours").await[0].clone();
    for hour in 0..24 {
        assert_shows("an hour of a Monday", &monday[hour + 1], &figures["hours"][hour]["conversations"]);
    }
    let intent = rows(browser, ".figures > .panel").await[0].clone();
    assert_eq!(intent[0], figures["by_intent"][0]["intent"]);
    assert_shows("conversations of an intent", &intent[1], &figures["by_intent"][0]["conversations"]);
}

async fn rows(browser: &Browser, css: &str) -> Value {
    browser.script_of(ROWS, &[json!(css)]).await
}

/// Asserts that a text is a figure, to as many decimals as it has.
#[track_caller]
fn assert_shows(name: &str, text: &Value, figure: &Value) {
    let ((shown, unit), expected) = (number(text), figure.as_f64().unwrap());
    assert!((shown - expected).abs() <= unit / 2.0 + 1e-9, "{name}: {text} is not {figure}");
}

/// Returns the number that a text is, in milliseconds if it is a time, and what its last decimal is worth.
fn number(text: &Value) -> (f64, f64) {
    let text = text.as_str().unwrap();
    let digits: String = text.chars().filter(|c| c.is_ascii_digit() || *c == '.').collect();
    let decimals = digits.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let scale = if text.ends_with('s') && !text.ends_with("ms") { 1_000.0 } else { 1.0 };
    let value: f64 = digits.parse().unwrap_or_else(|_| panic!("{text:?} is no figure"));
    (value * scale, scale / 10_f64.powi(i32::try_from(decimals).unwrap()))
}
