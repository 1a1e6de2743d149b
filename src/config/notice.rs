//! The settings of the privacy notice: who is responsible, the contact and a custom notice.

use std::path::Path;

use chrono::NaiveDate;
use strum::VariantArray;
use url::Url;

use super::{Setting, text_file};

/// The maximum length of a contact, a name and an address, in characters.
const MAX_LINE_CHARS: usize = 200;

/// The maximum size of a custom notice, in bytes.
const MAX_NOTICE_BYTES: u64 = 256 * 1024;

/// The contact for questions about personal data: an e-mail address, a URL, or any other text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact(String);

impl Contact {
    /// Returns the contact as it is shown.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Returns the target of a link on the contact; `None` if it is neither an address nor a URL.
    #[must_use]
    pub fn link(&self) -> Option<String> {
        if self.0.contains(char::is_whitespace) {
            return None;
        }
        match Url::parse(&self.0) {
            Ok(url) if matches!(url.scheme(), "http" | "https" | "mailto") => Some(url.into()),
            _ if self.0.split('@').all(|part| !part.is_empty()) && self.0.matches('@').count() == 1 => {
                Some(format!("mailto:{}", self.0))
            }
            _ => None,
        }
    }
}

impl Setting for Contact {
    fn read(text: &str) -> Result<Self, String> {
        Line::read(text).map(|Line(text)| Self(text))
    }
}

/// A single line of text. It may name a person, so it is not shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line(String);

impl Line {
    /// Returns the text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl Setting for Line {
    fn read(text: &str) -> Result<Self, String> {
        let fits = text.chars().count() <= MAX_LINE_CHARS && !text.contains(char::is_control);
        fits.then(|| Self(text.to_owned()))
            .ok_or_else(|| format!("must be a single line of at most {MAX_LINE_CHARS} characters"))
    }
}

/// A placeholder in a custom notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray)]
pub enum Placeholder {
    /// The contact.
    Contact,
    /// The name of the controller.
    ControllerName,
    /// The address of the controller.
    ControllerAddress,
    /// How long events are kept.
    RetentionDays,
    /// How long chats are kept.
    RetentionChatsDays,
    /// How long appointments are kept.
    RetentionAppointmentsDays,
    /// How long the audit trail is kept.
    RetentionAuditDays,
    /// Whether events are kept only with consent.
    ConsentRequired,
    /// When the notice was last changed.
    Updated,
}

impl Placeholder {
    /// Returns its name, which a notice has in two pairs of braces.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Contact => "contact",
            Self::ControllerName => "controller_name",
            Self::ControllerAddress => "controller_address",
            Self::RetentionDays => "retention_days",
            Self::RetentionChatsDays => "retention_chats_days",
            Self::RetentionAppointmentsDays => "retention_appointments_days",
            Self::RetentionAuditDays => "retention_audit_days",
            Self::ConsentRequired => "consent_required",
            Self::Updated => "updated",
        }
    }
}

/// A part of a custom notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Literal HTML.
    Html(String),
    /// A placeholder, to be replaced with its value.
    Placeholder(Placeholder),
}

/// A custom notice, read together with the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeFile {
    /// Its parts, in order.
    pub parts: Vec<Part>,
    /// The day, in UTC, on which the file was last changed.
    pub updated: NaiveDate,
}

impl Setting for NoticeFile {
    const SHOWN: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        let (html, updated) = text_file::read(Path::new(text), MAX_NOTICE_BYTES)?;
        let start = html.trim_start().get(..15).unwrap_or_default();
        if !start.eq_ignore_ascii_case("<!doctype html>") {
            return Err(
                "names a file that is not an HTML page: it must start with <!DOCTYPE html>".to_owned()
            );
        }
        Ok(Self { parts: parts(&html)?, updated })
    }
}

/// Splits `html` at its placeholders.
fn parts(html: &str) -> Result<Vec<Part>, String> {
    let (mut parts, mut rest) = (Vec::new(), html);
    while let Some((before, after)) = rest.split_once("{{") {
        let found = after.split_once("}}").and_then(|(name, rest)| Some((placeholder(name)?, rest)));
        let Some((placeholder, behind)) = found else {
            return Err(unknown_placeholder(&html[..html.len() - rest.len() + before.len()]));
        };
        parts.extend([Part::Html(before.to_owned()), Part::Placeholder(placeholder)]);
        rest = behind;
    }
    parts.push(Part::Html(rest.to_owned()));
    Ok(parts)
}

fn placeholder(name: &str) -> Option<Placeholder> {
    Placeholder::VARIANTS.iter().copied().find(|placeholder| placeholder.name() == name.trim())
}

/// Returns the error for an unknown placeholder that follows the text `before`.
fn unknown_placeholder(before: &str) -> String {
    let line = before.matches('\n').count() + 1;
    let known: Vec<String> =
        Placeholder::VARIANTS.iter().map(|placeholder| format!("{{{{{}}}}}", placeholder.name())).collect();
    format!("names a file with an unknown placeholder on line {line}; known ones are {}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_or_url_is_linked() {
        for (text, link) in [
            ("privacy@example.com", Some("mailto:privacy@example.com")),
            ("https://example.com/privacy", Some("https://example.com/privacy")),
            ("mailto:privacy@example.com", Some("mailto:privacy@example.com")),
            ("Jane Doe, Main Street 1, Springfield", None),
            ("Jane Doe <jane@example.com>", None),
            ("@example", None),
            ("javascript:alert(1)", None),
        ] {
            assert_eq!(Contact::read(text).unwrap().link().as_deref(), link, "{text}");
        }
    }

    #[test]
    fn a_notice_is_split_at_its_placeholders() {
        let html = |text: &str| Part::Html(text.to_owned());
        let found = parts("<p>{{contact}} { {{ retention_days }}</p>").unwrap();
        let expected = [
            html("<p>"),
            Part::Placeholder(Placeholder::Contact),
            html(" { "),
            Part::Placeholder(Placeholder::RetentionDays),
            html("</p>"),
        ];
        assert_eq!(found, expected);
        assert_eq!(parts("plain").unwrap(), [html("plain")]);
    }

    #[test]
    fn an_unknown_placeholder_is_reported_with_its_line() {
        for broken in ["one\n{{contact}}\n{{name}}", "one\n\n{{contact", "one\n\n{{}}", "\n\n{{<b>}}"] {
            let error = parts(broken).unwrap_err();
            assert!(error.contains("on line 3") && error.contains("{{retention_audit_days}}"), "{error}");
        }
    }
}
