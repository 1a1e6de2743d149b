//! How much a page weighs, and whether it stands still.

use serde_json::{Value, json};

use super::driver::Browser;
use super::salon::Salon;

/// Returns how many things the page is made of (the icon is asked for as an image and as an icon), the bytes of their answers as they were sent, with headers, and the bytes of their contents.
const WEIGHT: &str =
    "const all = ['navigation', 'resource'].flatMap((type) => performance.getEntriesByType(type));
    const sum = (name) => all.reduce((bytes, entry) => bytes + entry[name], 0);
    return [new Set(all.map(({ name }) => name)).size, sum('transferSize'), sum('decodedBodySize')]";

/// Returns what of the page has moved by itself, and how far.
const SHIFTS: &str = "return new Promise((done) => {
    const shifts = [];
    const add = (entries) => shifts.push(...entries.map(({ value, sources }) =>
        `${value}: ${sources.map(({ node }) => node?.outerHTML ?? node?.data)}`));
    const observer = new PerformanceObserver((list) => add(list.getEntries()));
    observer.observe({ type: 'layout-shift', buffered: true });
    const frames = (left) => {
        if (left) return requestAnimationFrame(() => frames(left - 1));
        add(observer.takeRecords());
        done(shifts);
    };
    frames(5);
})";

const PUSH: &str =
    "const block = document.createElement('p'); block.textContent = 'pushed'; document.body.prepend(block)";

/// Opens a page, and returns what of it has moved by itself. On a busy machine, Chromium at times paints a page that it has parsed in
/// part, so a page is opened up to five times until it stands still: what moves because of the page moves each time.
async fn shifts_of(salon: &Salon, browser: &Browser, path: &str) -> Value {
    let mut shifts = Value::Null;
    for _ in 0..5 {
        salon.open(browser, path).await;
        if path == "/" {
            browser.reaches("live").await;
        }
        shifts = browser.script(SHIFTS).await;
        if shifts == json!([]) {
            break;
        }
    }
    shifts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_year_is_a_light_page_that_stands_still() {
    let (salon, browser) = (Salon::with_days(365).await, Browser::start().await);
    salon.sign_in(&browser).await;
    browser.devtools("Network.clearBrowserCache", json!({})).await;
    salon.open(&browser, "/businesses/acme?days=366").await;
    let weight = browser.script(WEIGHT).await;
    let [requests, sent, plain] = [0, 1, 2].map(|place| weight[place].as_u64().unwrap());
    assert_eq!(requests, 4, "the page, its style, its script and the icon");
    assert!(sent < 60_000, "{sent} bytes were sent");
    assert!((50_000..250_000).contains(&plain), "{plain} bytes");
    for (path, width) in
        [("/businesses/acme?days=30", 390), ("/businesses/acme?days=30", 1440), ("/", 390), ("/", 1440)]
    {
        browser.appear(width, "light").await;
        assert_eq!(shifts_of(&salon, &browser, path).await, json!([]), "{path}, {width} px");
    }
    browser.script(PUSH).await;
    assert_ne!(browser.script(SHIFTS).await, json!([]), "a shift would have been noticed");
    browser.client.clone().close().await.unwrap();
}
