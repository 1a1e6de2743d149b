//! The dashboard: live figures of the service.

use fantoccini::Locator;
use fantoccini::key::Key;
use serde_json::{Value, json};

use super::driver::Browser;
use crate::harness::{Backend, KEY, Service, event, eventually, free_port, http_client, on_every_backend};

on_every_backend! {
    the_dashboard_shows_what_was_tracked_and_survives_its_service,
}

async fn track(service: &Service, body: &Value) -> u16 {
    let call = http_client().post(service.url("/track")).header("x-api-key", KEY).json(body);
    call.send().await.unwrap().status().as_u16()
}

/// Reports an event, which counts even if the database of a busy machine is too slow and it is spooled.
async fn report(service: &Service, changes: Value) {
    let status = track(service, &event(changes)).await;
    assert!([200, 202].contains(&status), "{status}");
}

async fn the_dashboard_shows_what_was_tracked_and_survives_its_service(backend: Backend) {
    let port = free_port().to_string();
    let settings = [("MLOPS_API_KEY", KEY), ("SERVICE_PORT", port.as_str()), ("ENVIRONMENT", "staging")];
    let service = Service::start(&backend, &settings);
    for i in 0..12 {
        let changes = json!({"business_id": format!("b\"{}", i % 2), "tokens_used": 1_000, "api_cost_usd": 0.012_5,
            "appointment_booked": i % 3 == 0, "human_handoff_requested": i % 6 == 0});
        report(&service, changes).await;
    }
    let browser = Browser::start().await;
    browser.client.goto(&service.url("/")).await.unwrap();
    browser.reaches("live").await;
    assert_tells_errors_by_colour(&browser, &service).await;
    assert_shows_what_was_tracked(&browser).await;
    assert_is_for_everybody(&browser).await;
    assert_eq!(browser.console().await, json!([]), "nothing breaks the policy, and nothing else goes wrong");
    assert_goes_on_after_a_mishap(&browser).await;

    drop(service);
    browser.refresh().await;
    browser.reaches("stale").await;
    assert!(!browser.text("#banner").await.is_empty(), "the page says that the service is gone");
    assert_eq!(browser.value("tokens").await, "12,000", "the last values stay");
    let service = Service::start(&backend, &settings);
    report(&service, json!({"tokens_used": 1})).await;
    let tokens = async || browser.value("tokens").await == "12,001" && browser.state().await == "live";
    eventually("the page recovers by itself within its ten seconds", tokens).await;
    assert_eq!(browser.text("#banner").await, "");
    browser.client.clone().close().await.unwrap();
}

/// Two requests that fail, one after the other. The first is read by means of the keyboard.
async fn assert_tells_errors_by_colour(browser: &Browser, service: &Service) {
    browser.shows("error-rate", "0.00 %").await;
    assert_eq!(browser.level("error-rate").await, "good");
    let colour = "return getComputedStyle(document.querySelector('[data-word=error-rate]')).color";
    let good = browser.script(colour).await;
    assert_eq!(track(service, &json!({})).await, 400);
    press_the_button_by_keyboard(browser).await;
    browser.shows("error-rate", "7.69 %").await;
    assert_eq!(browser.level("error-rate").await, "warn");
    let warn = browser.script(colour).await;
    assert_eq!(track(service, &json!({})).await, 400);
    browser.refresh().await;
    browser.shows("error-rate", "14.29 %").await;
    assert_eq!(browser.level("error-rate").await, "bad");
    let bad = browser.script(colour).await;
    assert_eq!(
        [good, warn, bad],
        ["rgb(23, 102, 58)", "rgb(119, 74, 0)", "rgb(161, 31, 28)"],
        "green, yellow, red"
    );
}

async fn press_the_button_by_keyboard(browser: &Browser) {
    let tab = char::from(Key::Tab).to_string();
    browser.client.find(Locator::Css("body")).await.unwrap().send_keys(&tab).await.unwrap();
    let focused = browser.client.active_element().await.unwrap();
    assert_eq!(focused.attr("id").await.unwrap().as_deref(), Some("refresh"), "one step leads to the button");
    let idle = async || browser.attribute("#refresh", "aria-busy").await == "false";
    eventually("the last refresh is over", idle).await;
    focused.send_keys(&char::from(Key::Enter).to_string()).await.unwrap();
}

async fn assert_shows_what_was_tracked(browser: &Browser) {
    for (name, shown) in [
        ("status", "healthy"),
        ("environment", "staging"),
        ("requests-total", "14"),
        ("conversations", "12"),
        ("error-rate", "14.29 %"),
        ("database", "connected"),
        ("tokens", "12,000"),
        ("cost", "$0.1500"),
        ("appointments-requested", "12"),
        ("appointments-booked", "4"),
        ("handoffs", "2"),
    ] {
        assert_eq!(browser.value(name).await.to_lowercase(), shown.to_lowercase(), "{name}");
    }
    for (name, unit) in [("memory", " MB"), ("cpu", " %"), ("uptime", " s")] {
        assert!(browser.value(name).await.ends_with(unit), "{name}");
    }
    for (card, level) in [("status", "good"), ("database", "good")] {
        assert_eq!(browser.level(card).await, level, "{card}");
    }
    let cards = browser.client.find_all(Locator::Css("[data-card]")).await.unwrap();
    assert_eq!(cards.len(), 10);
    let outside =
        "return performance.getEntriesByType('resource').filter(e => !e.name.startsWith(origin)).length";
    assert_eq!(browser.script(outside).await, 0, "no request leaves the origin");
    let weight = "return getComputedStyle(document.querySelector('[data-access*=\"track\"]')).fontWeight";
    assert_eq!(browser.script(weight).await, "600", "routes that need a key stand out");
}

/// On a phone, and in the dark.
async fn assert_is_for_everybody(browser: &Browser) {
    assert_fits_a_phone(browser).await;
    assert_has_colours(browser).await;
}

pub(super) async fn assert_fits_a_phone(browser: &Browser) {
    let phone = json!({"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": true});
    browser.emulate("setDeviceMetricsOverride", phone).await;
    let widths = "return [innerWidth, document.documentElement.scrollWidth]";
    assert_eq!(browser.script(widths).await, json!([360, 360]), "nothing lies beyond the right edge");
    browser.emulate("clearDeviceMetricsOverride", json!({})).await;
}

pub(super) async fn assert_has_colours(browser: &Browser) {
    let colours =
        "const { color, backgroundColor } = getComputedStyle(document.body); return [color, backgroundColor]";
    for (scheme, shown) in [
        ("light", ["rgb(26, 37, 48)", "rgb(243, 245, 248)"]),
        ("dark", ["rgb(231, 236, 241)", "rgb(18, 24, 31)"]),
    ] {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        browser.emulate("setEmulatedMedia", features).await;
        assert_eq!(browser.script(colours).await, json!(shown), "{scheme}");
    }
}

/// A refresh that fails for whatever reason is not the last one.
async fn assert_goes_on_after_a_mishap(browser: &Browser) {
    browser.script("window.kept = document.getElementById('banner'); kept.remove()").await;
    browser.refresh().await;
    let idle = async || browser.attribute("#refresh", "aria-busy").await == "false";
    eventually("the page is ready for another", idle).await;
    browser.script("document.querySelector('main').prepend(kept); document.getElementById('updated').textContent = ''").await;
    browser.refresh().await;
    eventually("it is refreshed again", async || !browser.text("#updated").await.is_empty()).await;
}
