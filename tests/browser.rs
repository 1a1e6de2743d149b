//! The dashboard in a real browser.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Map, json};

use crate::harness::{Backend, KEY, Service, event, eventually, free_port};

/// Chromium's driver; it and its browser end when it is dropped.
struct Driver(Child);

/// A headless Chromium.
struct Browser {
    client: Client,
    _driver: Driver,
    _profile: tempfile::TempDir,
}

impl Browser {
    async fn start() -> Self {
        let port = free_port();
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={port}")).stdout(Stdio::null());
        let driver = Driver(command.spawn().expect("chromedriver is installed by scripts/test"));
        let profile = tempfile::tempdir().unwrap();
        let options = json!({"args": [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
            "--disable-background-networking", "--disable-component-update", "--window-size=1280,1000",
            format!("--user-data-dir={}", profile.path().display())
        ]});
        let capabilities = Map::from_iter([
            ("goog:chromeOptions".to_owned(), options),
            ("goog:loggingPrefs".to_owned(), json!({"browser": "ALL"})),
        ]);
        let url = format!("http://127.0.0.1:{port}");
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities);
        for _ in 0..200 {
            if let Ok(client) = builder.connect(&url).await {
                return Self { client, _driver: driver, _profile: profile };
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the browser does not start");
    }

    async fn text(&self, css: &str) -> String {
        self.client.find(Locator::Css(css)).await.unwrap().text().await.unwrap()
    }

    async fn value(&self, name: &str) -> String {
        self.text(&format!("[data-value='{name}']")).await
    }

    async fn attribute(&self, css: &str, name: &str) -> String {
        self.client.find(Locator::Css(css)).await.unwrap().attr(name).await.unwrap().unwrap_or_default()
    }

    async fn state(&self) -> String {
        self.attribute("html", "data-state").await
    }

    async fn reaches(&self, state: &str) {
        eventually(&format!("the page is {state}"), async || self.state().await == state).await;
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // The driver takes its browser with it when it is asked to end, and not when it is killed.
        drop(Command::new("kill").arg(self.0.id().to_string()).status());
        drop(self.0.wait());
    }
}

async fn track(service: &Service, body: &serde_json::Value) -> u16 {
    let call = reqwest::Client::new().post(service.url("/track")).header("x-api-key", KEY).json(body);
    call.send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_shows_what_was_tracked_and_survives_its_service() {
    let backend = Backend::sqlite();
    let port = free_port().to_string();
    let settings = [("MLOPS_API_KEY", KEY), ("SERVICE_PORT", port.as_str()), ("ENVIRONMENT", "staging")];
    let service = Service::start(&backend, &settings);
    for i in 0..12 {
        let changes = json!({"business_id": format!("b\"{}", i % 2), "tokens_used": 1_000, "api_cost_usd": 0.012_5,
            "appointment_booked": i % 3 == 0, "human_handoff_requested": i % 6 == 0});
        assert_eq!(track(&service, &event(changes)).await, 200);
    }
    assert_eq!(track(&service, &json!({})).await, 400);
    let browser = Browser::start().await;
    browser.client.goto(&service.url("/")).await.unwrap();
    browser.reaches("live").await;
    assert_shows_what_was_tracked(&browser).await;

    drop(service);
    browser.client.find(Locator::Css("#refresh")).await.unwrap().click().await.unwrap();
    browser.reaches("stale").await;
    assert!(!browser.text("#banner").await.is_empty(), "the page says that the service is gone");
    assert_eq!(browser.value("tokens").await, "12,000", "the last values stay");
    let service = Service::start(&backend, &settings);
    assert_eq!(track(&service, &event(json!({"tokens_used": 1}))).await, 200);
    let tokens = async || browser.value("tokens").await == "12,001" && browser.state().await == "live";
    eventually("the page recovers by itself within its ten seconds", tokens).await;
    assert_eq!(browser.text("#banner").await, "");
    browser.client.clone().close().await.unwrap();
}

async fn assert_shows_what_was_tracked(browser: &Browser) {
    for (name, shown) in [
        ("status", "healthy"),
        ("environment", "staging"),
        ("requests-total", "13"),
        ("conversations", "12"),
        ("error-rate", "7.69 %"),
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
    for (card, level) in [("error-rate", "warn"), ("status", "good"), ("database", "good")] {
        assert_eq!(browser.attribute(&format!("[data-card='{card}']"), "data-level").await, level, "{card}");
    }
    let cards = browser.client.find_all(Locator::Css("[data-card]")).await.unwrap();
    assert_eq!(cards.len(), 10);
    let script =
        "return performance.getEntriesByType('resource').filter(e => !e.name.startsWith(origin)).length";
    assert_eq!(
        browser.client.execute(script, vec![]).await.unwrap(),
        json!(0),
        "no request leaves the origin"
    );
}
