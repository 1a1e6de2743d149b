//! What pages show: figures in sentences, tables and charts. No I/O here; `src/http/pages/` reads the figures and responds.

pub mod business;
pub mod businesses;
mod conversations;
mod headline;
mod list;
mod period;
mod sentence;
pub mod statement;
mod words;

pub use conversations::{ConversationList, Selection};
pub use headline::{Change, Headline};
pub use period::PeriodView;
pub use sentence::sentence;

use askama::Template;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What is not escaped in a segment of a path.
const SEGMENT: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The page that lists businesses.
pub const BUSINESSES: &str = "/businesses";

/// What surrounds the content of a page.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    /// The version of the service.
    pub version: &'static str,
    /// Whether there are links to other pages.
    pub nav: bool,
    /// Whether there is a session to end.
    pub signed_in: bool,
    /// Whether the script reads the figures again from time to time.
    pub refreshes: bool,
}

impl Frame {
    /// Returns the frame of a page for an owner; with links if there are other pages to see.
    #[must_use]
    pub const fn of_owner(signed_in: bool, nav: bool) -> Self {
        Self { version: env!("CARGO_PKG_VERSION"), nav, signed_in, refreshes: true }
    }

    /// Returns the frame of a page that stands alone.
    #[must_use]
    pub const fn alone() -> Self {
        Self { version: env!("CARGO_PKG_VERSION"), nav: false, signed_in: false, refreshes: false }
    }
}

/// What is said above the figures, because it decides how they are to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// `warn` or `unknown`, as in the style sheet.
    pub level: &'static str,
    /// What is said.
    pub text: String,
}

/// An entry of a select element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What is sent.
    pub value: &'static str,
    /// What is shown.
    pub text: &'static str,
    /// Whether it is the current one.
    pub selected: bool,
}

/// How a reader gets the first event, or the next one, into the service.
#[derive(Debug, Template)]
#[template(path = "parts/first_event.html")]
pub struct FirstEvent {
    title: String,
    text: String,
    command: String,
    note: &'static str,
}

impl FirstEvent {
    /// Returns what a page without figures shows. `service` is the origin of the service; `business_id` the business, if it is known.
    #[must_use]
    pub fn new(service: &str, business_id: Option<&str>, needs_key: bool, has_past: bool) -> Self {
        let key = if needs_key { " -H 'X-API-Key: YOUR-KEY'" } else { "" };
        let report = serde_json::json!({
            "business_id": business_id.unwrap_or("my-business"),
            "conversation_id": "first-conversation",
            "response_time_ms": 850,
            "tokens_used": 120,
        });
        // Within single quotes, a shell ends the text at the next one.
        let report = report.to_string().replace('\'', r"'\''");
        let (title, text) = if has_past {
            (
                "No conversations in this period",
                "Choose a longer period above, or see whether the receptionist still reports:",
            )
        } else {
            (
                "No conversations yet",
                "They appear here as soon as the receptionist reports its first answer. This command reports one:",
            )
        };
        Self {
            title: title.to_owned(),
            text: text.to_owned(),
            command: format!(
                "curl -X POST {service}/track -H 'Content-Type: application/json'{key} \\\n  -d '{report}'"
            ),
            note: "Then reload this page. The figures follow within a second.",
        }
    }
}

/// Returns the path of the page of a business. Its id may contain any character.
#[must_use]
pub fn path_of_business(business_id: &str) -> String {
    format!("{BUSINESSES}/{}", segment(business_id))
}

/// Returns a text as a segment of a path, percent-encoded.
#[must_use]
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, &SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_business_is_one_segment_of_this_origin() {
        for (id, path) in [
            ("acme-123_x.y~z", "/businesses/acme-123_x.y~z"),
            ("//evil.example", "/businesses/%2F%2Fevil.example"),
            ("a b?c#d%2F", "/businesses/a%20b%3Fc%23d%252F"),
            ("Bäckerei\\", "/businesses/B%C3%A4ckerei%5C"),
        ] {
            assert_eq!(path_of_business(id), path);
        }
    }
}
