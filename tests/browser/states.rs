//! Every page in every state, on a phone, a tablet and a wide screen, light and dark: everybody can read it, nothing of it is
//! cut off, nothing goes wrong, and nothing comes from elsewhere.

use serde_json::{Value, json};

use super::driver::Browser;
use super::salon::{Salon, month};
use crate::harness::{Backend, Service};

const AXE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/node_modules/axe-core/axe.min.js");

/// Returns what axe finds wrong by the rules in the first argument.
const VIOLATIONS: &str = "return axe.run(document, { runOnly: arguments[0], resultTypes: ['violations'] }).then(({ violations }) =>
    violations.flatMap(({ id, nodes }) => nodes.slice(0, 3).map((node) => `${id}: ${node.target}: ${node.failureSummary}`)))";

/// Returns what lies beyond the right edge of the window.
const TOO_WIDE: &str = "const room = document.documentElement;
    return room.scrollWidth <= innerWidth ? [] : [`${room.scrollWidth} px are wider than the window of ${innerWidth} px`]";

/// Returns what was loaded and is not of the page.
const FOREIGN: &str = "const pages = ['/assets/pages.css', '/assets/pages.js', '/assets/icon.svg'];
    const own = {
        '/': ['/assets/dashboard.css', '/assets/dashboard.js', '/assets/icon.svg', '/health/detailed', '/metrics'],
        '/privacy': ['/assets/privacy.css', '/assets/icon.svg'],
    }[location.pathname] ?? pages;
    return performance.getEntriesByType('resource').map(({ name }) => name)
        .filter((name) => !own.some((path) => name === origin + path))";

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_for_everybody_in_every_state() {
    let browser = Browser::start().await;
    let axe = std::fs::read_to_string(AXE).expect("scripts/test installs axe: npm ci --prefix tests/browser");
    let mut inspector = Inspector { browser: &browser, axe, findings: Vec::new() };
    inspector.inspect_without_data().await;
    let salon = Salon::with_days(60).await;
    inspector.inspect_signing_in(&salon).await;
    inspector.inspect_figures(&salon).await;
    inspector.inspect_what_is_not_there(&salon).await;
    assert_eq!(inspector.findings, Vec::<String>::new());
    browser.client.clone().close().await.unwrap();
}

struct Inspector<'a> {
    browser: &'a Browser,
    /// The script that is put into each page by the driver, where the policy of the page does not matter.
    axe: String,
    findings: Vec<String>,
}

impl Inspector<'_> {
    /// A service that was just started: without keys, and without data.
    async fn inspect_without_data(&mut self) {
        let service = Service::start(&Backend::sqlite(), &[("RATE_LIMIT_PAGES", "2 per hour")]);
        for (path, expected) in [
            ("/", "Authentication is off"),
            ("/businesses", "No conversations yet"),
            ("/businesses/acme", "curl -X POST"),
            ("/statement/acme", "No conversations"),
            ("/privacy", "Who is responsible"),
            ("/docs", "Every call of this service"),
            ("/docs/events", "Report one finished AI interaction"),
            ("/docs/analytics", "Read the figures of a business"),
            ("/docs/privacy", "Erase the data of a person"),
            ("/businesses?days=0", "This request cannot be answered"),
            ("/businesses", "Too many requests"),
        ] {
            self.browser.goto(&service.url(path)).await;
            self.inspect(path, expected).await;
        }
    }

    async fn inspect_signing_in(&mut self, salon: &Salon) {
        salon.open(self.browser, "/").await;
        self.inspect("signed out", "Sign in with an API key").await;
        self.browser.enter(".sign-in [name=key]", "wrong").await;
        self.browser.click(".sign-in button").await;
        self.inspect("a wrong key", "This key is not valid").await;
        salon.sign_in(self.browser).await;
        salon.open(self.browser, "/").await;
        self.inspect("signed in", "You are signed in").await;
    }

    async fn inspect_figures(&mut self, salon: &Salon) {
        salon.converse("bell", "c-1").await;
        let statement = format!("/statement/acme?month={}", month(salon.today().await));
        for (path, expected) in [
            ("/businesses", "bell"),
            ("/businesses?search=nobody", "No business matches"),
            ("/businesses/acme?days=30", "Acme Hair & Beauty"),
            ("/businesses/acme?period=today", "Acme Hair & Beauty"),
            ("/businesses/acme?from=2020-01-01&to=2020-01-07", "No conversations in this period"),
            ("/businesses/bell?days=7", "0 of 1 conversations"),
            (&statement, "Statement for"),
            ("/statement/acme?month=2020-01", "No conversations in this period"),
        ] {
            salon.open(self.browser, path).await;
            self.inspect(path, expected).await;
        }
        for page in ["business", "statement"] {
            self.browser.goto(&salon.link(page).await).await;
            self.inspect(&format!("{page} by link"), "Acme Hair & Beauty").await;
        }
    }

    async fn inspect_what_is_not_there(&mut self, salon: &Salon) {
        salon.open(self.browser, "/shared/0000").await;
        self.inspect("a link that does not work", "There is no page here").await;
        salon.backend.execute("alter table mlops_undigested rename to mlops_away").await;
        salon.open(self.browser, "/businesses/acme?days=30").await;
        self.inspect("the store is away", "These are the last known figures").await;
        salon.open(self.browser, "/businesses/never-seen").await;
        self.inspect("nothing is known", "Not available at the moment").await;
        salon.backend.execute("delete from mlops_sessions").await;
        salon.backend.execute("alter table mlops_away rename to mlops_undigested").await;
        // The service remembers for a moment that there is a session.
        crate::harness::eventually("the page leads to the form", async || {
            salon.open(self.browser, "/businesses").await;
            self.browser.location().await == "/"
        })
        .await;
        self.inspect("the session is over", "Your session is over").await;
    }

    /// Inspects the page that is open, which has `expected` somewhere.
    async fn inspect(&mut self, state: &str, expected: &str) {
        let text = self.browser.text("main").await;
        assert!(text.contains(expected), "{state}: {expected:?} is not in: {text}");
        self.find(state, FOREIGN, &[]).await;
        self.browser.script(&self.axe).await;
        let all = json!({"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]});
        // The only rules that can turn out differently in other colours.
        let of_colours = json!({"type": "rule", "values": ["color-contrast", "link-in-text-block"]});
        for width in [390, 768, 1440] {
            for (theme, rules) in [("light", &all), ("dark", &of_colours)] {
                self.browser.appear(width, theme).await;
                let view = format!("{state}, {width} px, {theme}");
                self.find(&view, VIOLATIONS, std::slice::from_ref(rules)).await;
                self.find(&view, TOO_WIDE, &[]).await;
            }
        }
        self.look_at_the_console(state).await;
    }

    /// Adds what a script returns to the findings.
    async fn find(&mut self, view: &str, script: &str, arguments: &[Value]) {
        let found = self.browser.script_of(script, arguments).await;
        self.findings.extend(found.as_array().unwrap().iter().map(|one| format!("{view}: {one}")));
    }

    /// Adds what the console says, but for recommendations, and the status of a page that is an error.
    async fn look_at_the_console(&mut self, state: &str) {
        let page = self.browser.client.current_url().await.unwrap();
        let status = format!("{page} - Failed to load resource: the server responded with a status of ");
        let said = self.browser.console().await;
        let counts = said.as_array().unwrap().iter().filter(|entry| {
            entry["level"] != "DEBUG" && !entry["message"].as_str().unwrap().starts_with(&status)
        });
        self.findings.extend(counts.map(|entry| format!("{state}: the console says: {entry}")));
    }
}
