//! What the script adds to a page, by means of the keyboard.

use fantoccini::Locator;
use fantoccini::key::Key;
use serde_json::{Value, json};

use super::driver::Browser;
use super::salon::Salon;

/// What has the focus, one after the other.
const WAY: [&str; 27] = [
    "Skip to the content",
    "MLOps service",
    "Businesses",
    "Sign out",
    "Monthly statement",
    "Today",
    "7 days",
    "30 days",
    "90 days",
    "This month",
    "Last month",
    "Other days",
    "funnel: step",
    "funnel: Show the table",
    "funnel: CSV",
    "conversations-by-day: point",
    "conversations-by-day: Show the table",
    "conversations-by-day: CSV",
    "response-time: point",
    "response-time: Show the table",
    "response-time: CSV",
    "cost: point",
    "cost: Show the table",
    "cost: CSV",
    "hours: point",
    "hours: Show the table",
    "hours: CSV",
];

/// Returns what has the focus, and how that shows.
const FOCUSED: &str = "const focused = document.activeElement, figure = focused.closest('figure');
    const text = ['point', 'step'].find((name) => focused.classList.contains(name))
        ?? focused.textContent.split(' of: ')[0].trim();
    return [figure ? `${figure.id}: ${text}` : text, getComputedStyle(focused).outlineStyle]";

/// Returns what the tooltip says; null while it is hidden.
const TOOLTIP: &str = "const tooltip = document.getElementById('tooltip');
    return tooltip.hidden ? null : Array.from(tooltip.querySelectorAll('p, dd'), ({ textContent }) => textContent)";

/// Returns the cells of a row, counted from 0, of the table of the figure.
const ROW: &str = "const row = document.querySelectorAll(`#${arguments[0]} .data tbody tr`)[arguments[1]];
    return Array.from(row.cells, ({ textContent }) => textContent.trim())";

/// What the module does once a minute, at once.
const REFRESH: &str = "return import(`${origin}/assets/pages.js`).then((module) => module.refresh())";

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_used_by_keyboard_and_refreshes_itself() {
    let (salon, browser) = (Salon::with_days(60).await, Browser::start().await);
    salon.sign_in(&browser).await;
    salon.open(&browser, "/businesses/acme?days=30").await;
    assert_focus_goes_in_reading_order(&browser).await;
    assert_arrows_go_along_points(&browser).await;
    assert_tables_take_the_place_of_charts(&browser).await;
    assert_a_refresh_disturbs_nobody(&browser, &salon).await;
    drop(salon);
    let before = browser.text(".headlines").await;
    browser.script(REFRESH).await;
    assert!(browser.text(".refresh-status").await.contains("could not be refreshed"));
    assert_eq!(browser.text(".headlines").await, before, "the last figures stay");
    browser.client.clone().close().await.unwrap();
}

async fn assert_focus_goes_in_reading_order(browser: &Browser) {
    for expected in WAY {
        browser.press(Key::Tab).await;
        let focused = browser.script(FOCUSED).await;
        assert_eq!(focused[0], expected);
        assert_ne!(focused[1], "none", "{expected} shows that it has the focus");
    }
}

async fn assert_arrows_go_along_points(browser: &Browser) {
    let focus = async |css: &str| browser.script(&format!("document.querySelector('{css}').focus()")).await;
    focus("#conversations-by-day .point[tabindex=\"0\"]").await;
    for (key, row) in
        [(None, 29), (Some(Key::Left), 28), (Some(Key::Home), 0), (Some(Key::Right), 1), (Some(Key::End), 29)]
    {
        if let Some(key) = key {
            browser.press(key).await;
        }
        let expected = browser.script_of(ROW, &[json!("conversations-by-day"), json!(row)]).await;
        assert_eq!(browser.script(TOOLTIP).await, expected, "{key:?}");
    }
    browser.press(Key::Escape).await;
    assert_eq!(browser.script(TOOLTIP).await, Value::Null, "Escape sends it away");
    focus("#hours .point[tabindex=\"0\"]").await;
    browser.press(Key::Down).await;
    browser.press(Key::Right).await;
    let tuesday = browser.script_of(ROW, &[json!("hours"), json!(1)]).await;
    assert_eq!(browser.script(TOOLTIP).await, json!(["Tuesday, 1:00", tuesday[2]]));
    focus("#funnel .step[tabindex=\"0\"]").await;
    browser.press(Key::Down).await;
    assert!(
        browser
            .script("return document.activeElement.textContent")
            .await
            .as_str()
            .unwrap()
            .contains("Appointment requested")
    );
}

async fn assert_tables_take_the_place_of_charts(browser: &Browser) {
    let shown =
        async |css: &str| browser.client.find(Locator::Css(css)).await.unwrap().is_displayed().await.unwrap();
    browser.script("document.querySelector('#cost summary').focus()").await;
    for (key, is_table, offer) in [
        (Key::Enter, true, "Show the chart"),
        (Key::Enter, false, "Show the table"),
        (Key::Enter, true, "Show the chart"),
    ] {
        browser.press(key).await;
        assert_eq!((shown("#cost .marks").await, shown("#cost tbody").await), (!is_table, is_table));
        assert_eq!(browser.text("#cost [data-toggle]").await, offer);
    }
}

/// With the table of costs open, and a point in focus.
async fn assert_a_refresh_disturbs_nobody(browser: &Browser, salon: &Salon) {
    const FIFTH: &str = "document.querySelectorAll('#response-time .point')[4]";
    browser.script(&format!("{FIFTH}.focus()")).await;
    salon.converse("acme", "newest").await;
    let before = browser.text(".headlines .figure-value").await;
    browser.script(REFRESH).await;
    let conversations = |text: &str| text.parse::<u32>().unwrap();
    assert_eq!(conversations(&browser.text(".headlines .figure-value").await), conversations(&before) + 1);
    assert_eq!(browser.script(&format!("return document.activeElement === {FIFTH}")).await, true);
    let row = browser.script_of(ROW, &[json!("response-time"), json!(4)]).await;
    assert_eq!(browser.script(TOOLTIP).await, row, "the tooltip is there again");
    assert_eq!(browser.text("#cost [data-toggle]").await, "Show the chart", "what was open stays open");
    assert_eq!(browser.text(".refresh-status").await, "");
    browser.script("document.querySelector('.periods details').open = true; document.querySelector('[name=from]').focus()").await;
    salon.converse("acme", "another").await;
    browser.script(REFRESH).await;
    assert_eq!(
        browser.script("return document.activeElement.name").await,
        "from",
        "whoever fills in a form is left alone"
    );
}
