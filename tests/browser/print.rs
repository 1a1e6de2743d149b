//! Pages on paper.

use chrono::Days;
use serde_json::json;

use super::driver::Browser;
use super::salon::{Salon, month};

/// Counts the pages of a PDF.
const PAGES: &str = "return atob(arguments[0]).match(/\\/Type\\s*\\/Page\\b/g).length";

/// Returns whatever text is light, or stands on a dark surface.
const DARK: &str = "const parts = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
    const light = ([red, green, blue]) => (red + green + blue) / 3;
    return Array.from(document.querySelectorAll('main *')).filter((each) => each.checkVisibility()).flatMap((each) => {
        const { color, backgroundColor } = getComputedStyle(each), back = parts(backgroundColor);
        const isSeen = back.length < 4 || back[3] > 0;
        return light(parts(color)) > 130 || (isSeen && light(back) < 200) ? [`${each.tagName} ${color} ${backgroundColor}`] : [];
    })";

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_one_page_of_paper() {
    let (salon, browser) = (Salon::with_days(100).await, Browser::start().await);
    salon.sign_in(&browser).await;
    let dark = json!([{"name": "prefers-color-scheme", "value": "dark"}]);
    browser.emulate("setEmulatedMedia", json!({"media": "print", "features": dark})).await;
    let today = salon.today().await;
    for month in [month(today), month(today - Days::new(31))] {
        salon.open(&browser, &format!("/statement/acme?month={month}")).await;
        assert_eq!(browser.script(DARK).await, json!([]), "black on white, from a dark screen too");
        for (paper, width, height) in [("A4", 21.0, 29.7), ("Letter", 21.59, 27.94)] {
            let pdf = browser.print(width, height).await;
            assert_eq!(browser.script_of(PAGES, &[json!(pdf)]).await, 1, "{paper}, {month}");
        }
    }
    salon.open(&browser, "/businesses/acme?days=30").await;
    assert_eq!(browser.script(DARK).await, json!([]), "other pages are printed as well");
    let pdf = browser.print(21.0, 29.7).await;
    let pages = browser.script_of(PAGES, &[json!(pdf)]).await.as_u64().unwrap();
    assert!((2..=4).contains(&pages), "{pages} pages");
    browser.client.clone().close().await.unwrap();
}
