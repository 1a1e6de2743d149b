//! The settings of the privacy notice: who answers letters, and a notice of the operator's own.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use chrono::{DateTime, NaiveDate, Utc};
use url::Url;

use super::Setting;

/// The longest contact, in characters.
const MAX_CONTACT_CHARS: usize = 200;

/// The largest notice of an operator, in bytes.
const MAX_NOTICE_BYTES: u64 = 256 * 1024;

/// Who answers customers' letters about their data: an e-mail address, a URL, or any other text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact(String);

impl Contact {
    /// The contact as it is shown.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Where a link on it leads; `None` for a text that is neither an address nor a URL.
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
        let fits = text.chars().count() <= MAX_CONTACT_CHARS && !text.contains(char::is_control);
        fits.then(|| Self(text.to_owned()))
            .ok_or_else(|| format!("must be at most {MAX_CONTACT_CHARS} characters in one line"))
    }
}

/// A value that a notice shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Whom to write to.
    Contact,
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
    /// When the notice was written.
    Updated,
}

impl Place {
    /// Every place.
    pub const ALL: [Self; 7] = [
        Self::Contact,
        Self::RetentionDays,
        Self::RetentionChatsDays,
        Self::RetentionAppointmentsDays,
        Self::RetentionAuditDays,
        Self::ConsentRequired,
        Self::Updated,
    ];

    /// Its name, as it stands between two pairs of braces.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Contact => "contact",
            Self::RetentionDays => "retention_days",
            Self::RetentionChatsDays => "retention_chats_days",
            Self::RetentionAppointmentsDays => "retention_appointments_days",
            Self::RetentionAuditDays => "retention_audit_days",
            Self::ConsentRequired => "consent_required",
            Self::Updated => "updated",
        }
    }
}

/// A part of a notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// HTML as the operator wrote it.
    Html(String),
    /// A value is to be put here.
    Place(Place),
}

/// An operator's own notice, read when the settings are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeFile {
    /// Its text.
    pub parts: Vec<Part>,
    /// The day, in UTC, on which the file was changed last.
    pub updated: NaiveDate,
}

impl Setting for NoticeFile {
    fn read(text: &str) -> Result<Self, String> {
        let (html, updated) = load(Path::new(text))?;
        let start = html.trim_start().get(..15).unwrap_or_default();
        if !start.eq_ignore_ascii_case("<!doctype html>") {
            return Err("names a file that is no HTML page: it must begin with <!DOCTYPE html>".to_owned());
        }
        Ok(Self { parts: parts(&html)?, updated })
    }
}

/// The text of the file at `path`, and when it was changed.
fn load(path: &Path) -> Result<(String, NaiveDate), String> {
    let unreadable = |error: std::io::Error| format!("names a file that cannot be read: {error}");
    let file = File::open(path).map_err(unreadable)?;
    let changed = file.metadata().and_then(|metadata| metadata.modified()).map_err(unreadable)?;
    let mut text = String::new();
    file.take(MAX_NOTICE_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_NOTICE_BYTES {
        return Err(format!("names a file of more than {} KiB", MAX_NOTICE_BYTES / 1024));
    }
    Ok((text, DateTime::<Utc>::from(changed).date_naive()))
}

/// Takes `html` apart at its places.
fn parts(html: &str) -> Result<Vec<Part>, String> {
    let (mut parts, mut rest) = (Vec::new(), html);
    while let Some((before, after)) = rest.split_once("{{") {
        let found = after.split_once("}}").and_then(|(name, rest)| Some((place(name)?, rest)));
        let Some((place, behind)) = found else {
            return Err(no_place(&html[..html.len() - rest.len() + before.len()]));
        };
        parts.extend([Part::Html(before.to_owned()), Part::Place(place)]);
        rest = behind;
    }
    parts.push(Part::Html(rest.to_owned()));
    Ok(parts)
}

fn place(name: &str) -> Option<Place> {
    Place::ALL.into_iter().find(|place| place.name() == name.trim())
}

/// What is wrong with the braces behind all that stands `before` them.
fn no_place(before: &str) -> String {
    let line = before.matches('\n').count() + 1;
    let known: Vec<String> = Place::ALL.iter().map(|place| format!("{{{{{}}}}}", place.name())).collect();
    format!(
        "names a file with a place on line {line} that is none of the known ones, which are {}",
        known.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_is_linked_where_that_makes_sense() {
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
    fn a_notice_is_taken_apart_at_its_places() {
        let html = |text: &str| Part::Html(text.to_owned());
        let found = parts("<p>{{contact}} { {{ retention_days }}</p>").unwrap();
        let expected = [
            html("<p>"),
            Part::Place(Place::Contact),
            html(" { "),
            Part::Place(Place::RetentionDays),
            html("</p>"),
        ];
        assert_eq!(found, expected);
        assert_eq!(parts("plain").unwrap(), [html("plain")]);
    }

    #[test]
    fn a_place_that_nobody_knows_is_told_by_its_line() {
        for broken in ["one\n{{contact}}\n{{name}}", "one\n\n{{contact", "one\n\n{{}}", "\n\n{{<b>}}"] {
            let told = parts(broken).unwrap_err();
            assert!(told.contains("on line 3") && told.contains("{{retention_audit_days}}"), "{told}");
        }
    }
}
