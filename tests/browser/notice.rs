//! The privacy notice.

use fantoccini::Locator;
use serde_json::json;

use super::dashboard::{assert_fits_a_phone, assert_has_colours};
use super::driver::Browser;
use crate::harness::{Backend, Service, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn the_privacy_notice_can_be_read_and_printed_by_everybody() {
    let backend = Backend::sqlite();
    let service = Service::start(&backend, &[("PRIVACY_CONTACT", "privacy@example.com")]);
    let browser = Browser::start().await;
    browser.client.goto(&service.url("/")).await.unwrap();
    browser.client.find(Locator::Css("footer a")).await.unwrap().click().await.unwrap();
    let here = async || browser.client.current_url().await.unwrap().path() == "/privacy";
    eventually("the dashboard leads to the notice", here).await;
    assert_eq!(browser.text("h1").await, "Privacy notice");
    assert_eq!(browser.attribute(".contact a", "href").await, "mailto:privacy@example.com");
    let outside =
        "return performance.getEntriesByType('resource').filter(e => !e.name.startsWith(origin)).length";
    assert_eq!(browser.script(outside).await, 0, "no request leaves the origin");
    let styled = "return document.styleSheets[0].cssRules.length > 10";
    assert_eq!(browser.script(styled).await, true, "the policy lets its style through");
    assert_fits_a_phone(&browser).await;
    assert_has_colours(&browser).await;
    assert_prints(&browser).await;
    assert_eq!(browser.console().await, json!([]), "nothing breaks the policy, and nothing else goes wrong");
    browser.client.clone().close().await.unwrap();
}

/// Printed from a dark screen it is black on white, rows stay together, and nothing lies beyond the edge of A4.
async fn assert_prints(browser: &Browser) {
    let dark = json!([{"name": "prefers-color-scheme", "value": "dark"}]);
    browser.emulate("setEmulatedMedia", json!({"media": "print", "features": dark})).await;
    let a4 = json!({"width": 670, "height": 980, "deviceScaleFactor": 1, "mobile": false});
    browser.emulate("setDeviceMetricsOverride", a4).await;
    let shown = "const style = (css) => getComputedStyle(document.querySelector(css));
        return [style('body').color, style('body').backgroundColor, style('tbody tr').breakInside,
            style('tbody td').display, document.documentElement.scrollWidth <= 670]";
    let expected = json!(["rgb(26, 37, 48)", "rgba(0, 0, 0, 0)", "avoid", "table-cell", true]);
    assert_eq!(browser.script(shown).await, expected);
    browser.emulate("clearDeviceMetricsOverride", json!({})).await;
    browser.emulate("setEmulatedMedia", json!({"media": "", "features": []})).await;
    let pdf = browser.print(21.0, 29.7).await;
    assert!(pdf.starts_with("JVBERi") && pdf.len() > 10_000, "it is a PDF");
}
