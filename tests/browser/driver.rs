//! A headless Chromium, and what the tests ask of it.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::http::Method;
use fantoccini::key::Key;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Map, Value, json};
use url::{ParseError, Url};

use crate::harness::{eventually, free_port};

/// Chromium's driver; it and its browser end when it is dropped.
struct Driver(Child);

/// A headless Chromium.
pub(super) struct Browser {
    pub(super) client: Client,
    _driver: Driver,
    _profile: tempfile::TempDir,
}

/// What Chromium's driver understands beyond the standard: a path below that of the session, and a body.
#[derive(Debug)]
struct Beyond(&'static str, Value);

impl WebDriverCompatibleCommand for Beyond {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap(), self.0))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.1.to_string()))
    }
}

impl Browser {
    pub(super) async fn start() -> Self {
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

    pub(super) async fn text(&self, css: &str) -> String {
        self.client.find(Locator::Css(css)).await.unwrap().text().await.unwrap()
    }

    pub(super) async fn value(&self, name: &str) -> String {
        self.text(&format!("[data-value='{name}']")).await
    }

    pub(super) async fn attribute(&self, css: &str, name: &str) -> String {
        self.client.find(Locator::Css(css)).await.unwrap().attr(name).await.unwrap().unwrap_or_default()
    }

    pub(super) async fn state(&self) -> String {
        self.attribute("html", "data-state").await
    }

    pub(super) async fn reaches(&self, state: &str) {
        eventually(&format!("the page is {state}"), async || self.state().await == state).await;
    }

    pub(super) async fn shows(&self, name: &str, value: &str) {
        eventually(&format!("{name} is {value}"), async || self.value(name).await == value).await;
    }

    pub(super) async fn level(&self, card: &str) -> String {
        self.attribute(&format!("[data-card='{card}']"), "data-level").await
    }

    pub(super) async fn refresh(&self) {
        let idle = async || self.attribute("#refresh", "aria-busy").await == "false";
        eventually("the last refresh is over", idle).await;
        self.client.find(Locator::Css("#refresh")).await.unwrap().click().await.unwrap();
    }

    pub(super) async fn script(&self, script: &str) -> Value {
        self.script_of(script, &[]).await
    }

    /// Runs a script with arguments. If it returns a promise, its value is awaited.
    pub(super) async fn script_of(&self, script: &str, arguments: &[Value]) -> Value {
        self.client.execute(script, arguments.to_vec()).await.unwrap()
    }

    pub(super) async fn goto(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    pub(super) async fn click(&self, css: &str) {
        self.client.find(Locator::Css(css)).await.unwrap().click().await.unwrap();
    }

    pub(super) async fn enter(&self, css: &str, text: &str) {
        self.client.find(Locator::Css(css)).await.unwrap().send_keys(text).await.unwrap();
    }

    /// Returns the path and the query string of the page that is open.
    pub(super) async fn location(&self) -> String {
        let url = self.client.current_url().await.unwrap();
        url[url::Position::BeforePath..].to_owned()
    }

    /// Presses a key where the focus is.
    pub(super) async fn press(&self, key: Key) {
        let focused = self.client.active_element().await.unwrap();
        focused.send_keys(&char::from(key).to_string()).await.unwrap();
    }

    /// Makes the window that wide, and the theme `light` or `dark`.
    pub(super) async fn appear(&self, width: u32, theme: &str) {
        let screen = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.emulate("setDeviceMetricsOverride", screen).await;
        let features = json!([{"name": "prefers-color-scheme", "value": theme}]);
        self.emulate("setEmulatedMedia", json!({"media": "", "features": features})).await;
    }

    /// Changes what the page is told of its surroundings.
    pub(super) async fn emulate(&self, command: &str, parameters: Value) {
        self.devtools(&format!("Emulation.{command}"), parameters).await;
    }

    /// Calls what the developer tools of the browser call.
    pub(super) async fn devtools(&self, command: &str, parameters: Value) {
        let body = json!({"cmd": command, "params": parameters});
        self.client.issue_cmd(Beyond("goog/cdp/execute", body)).await.unwrap();
    }

    /// Prints the page on paper of so many centimetres, and returns the PDF in base 64.
    pub(super) async fn print(&self, width: f64, height: f64) -> String {
        let paper = json!({"page": {"width": width, "height": height}});
        let pdf = self.client.issue_cmd(Beyond("print", paper)).await.unwrap();
        pdf.as_str().unwrap().to_owned()
    }

    /// What the console was told since it was last asked for.
    pub(super) async fn console(&self) -> Value {
        self.client.issue_cmd(Beyond("se/log", json!({"type": "browser"}))).await.unwrap()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // After a test that failed, the browser is still there, and the driver would leave it behind.
        drop(Command::new("pkill").args(["-KILL", "-P", &self.0.id().to_string()]).status());
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
