//! Pages without a script.

use fantoccini::Locator;
use serde_json::json;

use super::driver::Browser;
use super::salon::Salon;
use crate::harness::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_without_a_script() {
    let (salon, browser) = (Salon::with_days(60).await, Browser::start().await);
    browser.emulate("setScriptExecutionDisabled", json!({"value": true})).await;
    salon.sign_in(&browser).await;
    let businesses = browser.client.find(Locator::LinkText("Acme Hair & Beauty")).await.unwrap();
    businesses.click().await.unwrap();
    leads_to(&browser, "/businesses/acme?days=30").await;
    assert!(browser.client.find(Locator::Css("#tooltip")).await.is_err(), "no script runs");
    assert_shows_all_figures(&browser).await;
    assert_changes_the_period(&browser).await;
    assert_filters_conversations(&browser).await;
    browser.click(".top form button").await;
    leads_to(&browser, "/").await;
    salon.open(&browser, "/businesses/acme").await;
    leads_to(&browser, "/").await;
    assert!(browser.text("main").await.contains("Sign in with an API key"));
    browser.client.clone().close().await.unwrap();
}

async fn leads_to(browser: &Browser, location: &str) {
    eventually(&format!("it leads to {location}"), async || browser.location().await == location).await;
}

async fn assert_shows_all_figures(browser: &Browser) {
    assert_eq!(browser.client.find_all(Locator::Css(".headlines .figure-value")).await.unwrap().len(), 6);
    let figures = browser.client.find_all(Locator::Css("figure")).await.unwrap();
    assert_eq!(figures.len(), 5);
    for figure in figures {
        let id = figure.attr("id").await.unwrap().unwrap();
        let drawing = figure.find(Locator::Css("svg.marks, .funnel")).await.unwrap();
        assert!(drawing.rectangle().await.unwrap().3 > 100.0, "{id} is drawn");
        let row = figure.find(Locator::Css(".data tbody tr")).await.unwrap();
        assert!(!row.is_displayed().await.unwrap(), "the table of {id} is folded");
        figure.find(Locator::Css("summary")).await.unwrap().click().await.unwrap();
        assert!(row.is_displayed().await.unwrap(), "the table of {id} opens");
        assert!(drawing.is_displayed().await.unwrap(), "{id} stays");
    }
}

async fn assert_changes_the_period(browser: &Browser) {
    browser.client.find(Locator::LinkText("7 days")).await.unwrap().click().await.unwrap();
    leads_to(browser, "/businesses/acme?days=7").await;
    let current = browser.text(".periods [aria-current=page]").await;
    let rows = browser.client.find_all(Locator::Css("#conversations-by-day tbody tr")).await.unwrap();
    assert_eq!((current.as_str(), rows.len()), ("7 days", 7));
    browser.click(".periods summary").await;
    browser.click(".periods form button").await;
    let is_custom = async || browser.location().await.starts_with("/businesses/acme?from=20");
    eventually("the form leads to the same days", is_custom).await;
    let rows = browser.client.find_all(Locator::Css("#conversations-by-day tbody tr")).await.unwrap();
    assert_eq!(rows.len(), 7);
}

async fn assert_filters_conversations(browser: &Browser) {
    let handled = async || {
        let cells =
            browser.client.find_all(Locator::Css("#conversations [data-label='Handled by']")).await.unwrap();
        let mut texts = Vec::new();
        for cell in cells {
            texts.push(cell.text().await.unwrap());
        }
        texts
    };
    assert!(handled().await.iter().any(|who| who == "The AI alone"));
    browser
        .client
        .find(Locator::Css("select[name=handoff]"))
        .await
        .unwrap()
        .select_by_value("true")
        .await
        .unwrap();
    browser.click("#conversations .filter button").await;
    let is_filtered = async || browser.location().await.contains("handoff=true");
    eventually("the form filters", is_filtered).await;
    let handled = handled().await;
    assert!(!handled.is_empty() && handled.iter().all(|who| who == "A person"), "{handled:?}");
    let location = browser.location().await;
    assert!(location.starts_with("/businesses/acme?from=20"), "the period stays: {location}");
}
