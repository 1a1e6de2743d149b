//! Consents and their withdrawal. No I/O here.
//!
//! For each subject and purpose, the consent recorded last applies. An event concerns every subject that its
//! conversation names; whether its row may be stored is decided by the newest consent of any of them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::subject::{Hasher, Selector, SubjectHash};
use crate::event::{Event, PLACEHOLDER_IDS};

/// The purpose that covers storing the rows of events.
pub const CHAT_STORAGE: &str = "chat_storage";

/// The maximum length of a purpose or policy version, in characters.
const MAX_NAME_CHARS: usize = 50;

/// The maximum length of a source, in characters.
const MAX_SOURCE_CHARS: usize = 100;

/// The minimum number of digits in a row that may be a phone number.
const MIN_PHONE_DIGITS: usize = 7;

/// A consent, or its withdrawal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// Its id in responses and in the audit trail.
    pub id: Uuid,
    /// The hash of the person.
    pub subject: SubjectHash,
    /// What it is for.
    pub purpose: Purpose,
    /// The version of the policy that was shown; 1 to 50 characters.
    pub policy_version: String,
    /// Whether it was granted rather than withdrawn.
    pub granted: bool,
    /// Where it was given, such as a form; 1 to 100 characters, nothing personal.
    pub source: String,
    /// When it was recorded.
    pub at: DateTime<Utc>,
}

/// What a consent is for: 1 to 50 lower-case letters, digits and underscores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purpose(String);

impl Purpose {
    /// Parses a purpose. The error says what it must be.
    pub fn read(text: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let fits = (1..=MAX_NAME_CHARS).contains(&text.len()) && text.chars().all(plain);
        fits.then(|| Self(text.to_owned())).ok_or_else(|| {
            format!("must be 1 to {MAX_NAME_CHARS} characters from a-z, 0-9 and _, such as {CHAT_STORAGE}")
        })
    }

    /// Returns the name of the purpose.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// A person named in a body: a string whose kind is guessed, or an object whose only field is the kind.
#[derive(Deserialize)]
#[serde(transparent)]
pub struct NamedSubject(Value);

impl NamedSubject {
    /// Returns the selector of the person. The error says what it must be.
    pub fn selector(&self) -> Result<Selector, String> {
        let selector = match &self.0 {
            Value::String(text) => Selector::guess(text)?,
            Value::Object(fields) if fields.len() == 1 => {
                fields.iter().find_map(of_kind).ok_or(MUST_NAME)??
            }
            _ => return Err(MUST_NAME.to_owned()),
        };
        match is_placeholder(&selector) {
            true => Err("must identify a person; this value is a placeholder".to_owned()),
            false => Ok(selector),
        }
    }
}

const MUST_NAME: &str =
    "must be a string, or an object with one of email, phone, conversation_id and session_id";

fn of_kind((kind, text): (&String, &Value)) -> Option<Result<Selector, String>> {
    let text = text.as_str()?;
    match kind.as_str() {
        "email" => Some(Selector::email(text)),
        "phone" => Some(Selector::phone(text)),
        "conversation_id" => Some(Selector::conversation(text)),
        "session_id" => Some(Selector::session(text)),
        _ => None,
    }
}

/// The body of a request to record a consent, not yet validated.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// The person.
    pub subject: NamedSubject,
    /// See [`Consent::purpose`].
    pub purpose: String,
    /// See [`Consent::policy_version`].
    pub policy_version: String,
    /// See [`Consent::granted`].
    pub granted: bool,
    /// See [`Consent::source`].
    pub source: String,
}

/// The name of an invalid field of a [`Statement`], and what it must be.
pub type InvalidField = (&'static str, String);

impl Statement {
    /// Validates the statement and creates the consent, recorded at `at`.
    pub fn into_consent(self, hasher: &Hasher, at: DateTime<Utc>) -> Result<Consent, InvalidField> {
        Ok(Consent {
            id: Uuid::now_v7(),
            subject: hasher.hash(&self.subject.selector().map_err(|must_be| ("subject", must_be))?),
            purpose: Purpose::read(&self.purpose).map_err(|must_be| ("purpose", must_be))?,
            policy_version: policy_version(self.policy_version)
                .map_err(|must_be| ("policy_version", must_be))?,
            granted: self.granted,
            source: source(self.source).map_err(|must_be| ("source", must_be))?,
            at,
        })
    }
}

/// Parses a policy version. The error says what it must be.
pub fn policy_version(text: String) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let fits = (1..=MAX_NAME_CHARS).contains(&text.len()) && text.chars().all(plain);
    fits.then_some(text).ok_or_else(|| {
        format!(
            "must be 1 to {MAX_NAME_CHARS} letters, digits, dots, hyphens or underscores, such as 2026-01"
        )
    })
}

/// Parses a source. It is stored as it is, so it must not identify anyone.
fn source(text: String) -> Result<String, String> {
    let fits = (1..=MAX_SOURCE_CHARS).contains(&text.chars().count()) && !text.contains(char::is_control);
    match fits && !text.contains(['@', '＠']) && !has_phone(&text) {
        true => Ok(text),
        false => Err(format!(
            "must be 1 to {MAX_SOURCE_CHARS} characters and identify nobody: no @, no {MIN_PHONE_DIGITS} or more \
             digits in a row"
        )),
    }
}

/// Returns whether a text contains what may be a phone number: digits with few other characters in between.
fn has_phone(text: &str) -> bool {
    let parts = text.split(|c: char| !c.is_numeric() && !c.is_whitespace() && !"-./()+–".contains(c));
    parts.into_iter().any(|part| part.chars().filter(|c| c.is_numeric()).count() >= MIN_PHONE_DIGITS)
}

/// Returns whether it is a placeholder that events without a conversation or session send.
fn is_placeholder(selector: &Selector) -> bool {
    match selector {
        Selector::Conversation(id) | Selector::Session(id) => PLACEHOLDER_IDS.contains(&id.trim()),
        Selector::Email(_) | Selector::Phone(_) => false,
    }
}

/// Returns the subjects that an event itself names: its conversation and its session.
#[must_use]
pub fn named_by(event: &Event, hasher: &Hasher) -> Vec<SubjectHash> {
    let conversation = event.conversation_id.as_deref().map(Selector::conversation);
    let ids = conversation.into_iter().chain([Selector::session(&event.session_id)]).flatten();
    ids.filter(|id| !is_placeholder(id)).map(|id| hasher.hash(&id)).collect()
}

/// The latest consents of some subjects to one purpose: their order of recording, and whether they were
/// granted.
pub type Latest = HashMap<SubjectHash, (i64, bool)>;

/// Returns whether the newest consent of any of `subjects` is granted.
pub fn is_granted(subjects: impl IntoIterator<Item = SubjectHash>, latest: &Latest) -> bool {
    let newest =
        subjects.into_iter().filter_map(|subject| latest.get(&subject)).max_by_key(|(order, _)| *order);
    newest.is_some_and(|(_, granted)| *granted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_must_not_identify_anyone() {
        for good in ["chat widget", "form v2 of 2026", "Büro, 3. Stock", &"x".repeat(100)] {
            assert!(source(good.to_owned()).is_ok(), "{good}");
        }
        for bad in [
            "",
            "ana@example.com",
            "mail from ana＠example",
            "call from +49 151 234567",
            "0151-234/567",
            "tel. (0151) 234.567",
            "٠١٢٣٤٥٦٧",
            "line\nbreak",
            &"x".repeat(101),
        ] {
            assert!(source(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn purposes_and_versions_allow_only_certain_characters() {
        for (text, purpose, version) in [
            ("chat_storage", true, true),
            ("2026-01", false, true),
            ("", false, false),
            ("Chat", false, true),
            ("a b", false, false),
            ("ana@example.com", false, false),
        ] {
            assert_eq!(Purpose::read(text).is_ok(), purpose, "{text}");
            assert_eq!(policy_version(text.to_owned()).is_ok(), version, "{text}");
        }
        assert!(Purpose::read(&"x".repeat(51)).is_err() && policy_version("x".repeat(51)).is_err());
    }

    #[test]
    fn the_newest_consent_of_any_subject_decides() {
        let subjects = [1, 2, 3].map(|byte| SubjectHash::from([byte; 32]));
        let latest = |rows: &[(usize, i64, bool)]| -> Latest {
            rows.iter().map(|(subject, order, granted)| (subjects[*subject], (*order, *granted))).collect()
        };
        for (rows, granted) in [
            (&[][..], false),
            (&[(0, 1, true)], true),
            (&[(0, 1, true), (1, 2, false)], false),
            (&[(0, 3, true), (1, 2, false)], true),
            (&[(0, 1, false), (1, 2, false), (2, 3, true)], true),
        ] {
            assert_eq!(is_granted(subjects, &latest(rows)), granted, "{rows:?}");
        }
        assert!(!is_granted([], &latest(&[(0, 1, true)])));
    }
}
