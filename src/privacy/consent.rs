//! Consents and their withdrawal. No I/O here.
//!
//! For each name of a person, business and purpose, what was recorded last applies; what was recorded without a business holds for
//! all. An event concerns everyone whom its conversation names. Its row may be stored if one of these names has consented and none has
//! withdrawn: a withdrawal holds until the same name lifts it, whatever others under a shared number grant.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use uuid::Uuid;

use super::subject::{ContactReader, Hasher, Selector, SubjectHash, has_contact};
use crate::event::{Event, is_placeholder_id};

/// The purpose that covers storing the rows of events.
pub const CHAT_STORAGE: &str = "chat_storage";

/// The maximum length of a purpose or policy version, in characters.
pub const MAX_NAME_CHARS: usize = 50;

/// The maximum length of a source, in characters.
pub const MAX_SOURCE_CHARS: usize = 100;

/// The minimum number of digits in a row that may be a phone number.
const MIN_PHONE_DIGITS: usize = 7;

/// A consent, or its withdrawal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// Its id in responses and in the audit trail.
    pub id: Uuid,
    /// The hash of the person.
    pub subject: SubjectHash,
    /// The only business it was given to; `None` for every business.
    pub business_id: Option<String>,
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
    pub fn selector(&self, reader: ContactReader) -> Result<Selector, String> {
        let selector = match &self.0 {
            Value::String(text) => reader.guess(text)?,
            Value::Object(fields) if fields.len() == 1 => {
                fields.iter().find_map(|field| of_kind(field, reader)).ok_or(MUST_NAME)??
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

fn of_kind((kind, text): (&String, &Value), reader: ContactReader) -> Option<Result<Selector, String>> {
    let text = text.as_str()?;
    match kind.as_str() {
        "email" => Some(reader.email(text)),
        "phone" => Some(reader.phone(text)),
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
    /// See [`Consent::business_id`].
    #[serde(default, deserialize_with = "not_null")]
    pub business_id: Option<String>,
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
    /// Validates the statement and creates the consent to `business_id`, recorded at `at`. Also returns the kind of the person's name.
    pub fn into_consent(
        self,
        business_id: Option<String>,
        hasher: &Hasher,
        at: DateTime<Utc>,
    ) -> Result<(Consent, &'static str), InvalidField> {
        let selector = self.subject.selector(hasher.reader).map_err(|must_be| ("subject", must_be))?;
        let consent = Consent {
            id: Uuid::now_v7(),
            subject: hasher.hash(&selector),
            business_id,
            purpose: Purpose::read(&self.purpose).map_err(|must_be| ("purpose", must_be))?,
            policy_version: policy_version(self.policy_version)
                .map_err(|must_be| ("policy_version", must_be))?,
            granted: self.granted,
            source: source(self.source).map_err(|must_be| ("source", must_be))?,
            at,
        };
        Ok((consent, selector.kind()))
    }
}

/// Parses an optional field that must not be null: null may be a value that its sender forgot to fill in.
pub fn not_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(field: D) -> Result<Option<T>, D::Error> {
    T::deserialize(field).map(Some)
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
    match fits && !text.contains(['@', '＠']) && !has_phone(&text) && !has_contact(&text, MIN_PHONE_DIGITS) {
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
        Selector::Conversation(id) | Selector::Session(id) => is_placeholder_id(id),
        Selector::Email(_) | Selector::Phone(_) => false,
    }
}

/// One name of a person, such as an e-mail address or a session: the hashes under which consents of that name may be recorded.
pub type Name = Vec<SubjectHash>;

/// Returns the names that an event itself has: its conversation and its session.
#[must_use]
pub fn named_by(event: &Event, hasher: &Hasher) -> Vec<Name> {
    let conversation = event.conversation_id.as_deref().map(Selector::conversation);
    let ids = conversation.into_iter().chain([Selector::session(&event.session_id)]).flatten();
    ids.filter(|id| !is_placeholder(id)).map(|id| hasher.hashes(&id)).collect()
}

/// What was recorded last of a subject for one business, or for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// See [`Consent::business_id`].
    pub business_id: Option<String>,
    /// Its place in the order of recording.
    pub order: i64,
    /// See [`Consent::granted`].
    pub granted: bool,
    /// When it was recorded, as the database writes it.
    pub at: String,
}

/// What some subjects said last about one purpose.
pub type Latest = HashMap<SubjectHash, Vec<Said>>;

/// Returns what a name said last to a business.
fn said<'l>(name: &Name, business_id: &str, latest: &'l Latest) -> Option<&'l Said> {
    let all = name.iter().filter_map(|subject| latest.get(subject)).flatten();
    let to_it = all.filter(|said| said.business_id.as_deref().is_none_or(|only| only == business_id));
    to_it.max_by_key(|said| said.order)
}

/// Returns whether any of a person's names has consented to a business and none has withdrawn.
#[must_use]
pub fn consented(names: &[Name], business_id: &str, latest: &Latest) -> bool {
    let said = || names.iter().filter_map(|name| said(name, business_id, latest));
    said().any(|said| said.granted) && said().all(|said| said.granted)
}

/// Returns when the first of the withdrawals of a person's names that hold for a business was recorded; `None` if none holds.
#[must_use]
pub fn withdrawn_since<'l>(names: &[Name], business_id: &str, latest: &'l Latest) -> Option<&'l str> {
    let said = names.iter().filter_map(|name| said(name, business_id, latest));
    said.filter(|said| !said.granted).min_by_key(|said| said.order).map(|said| said.at.as_str())
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

    /// A subject, a business, the order, and whether it was granted.
    type Row = (usize, Option<&'static str>, i64, bool);

    #[test]
    fn a_withdrawal_holds_until_the_same_name_lifts_it() {
        let subjects = [1, 2, 3].map(|byte| SubjectHash::from([byte; 32]));
        let names: Vec<Name> = subjects.iter().map(|subject| vec![*subject]).collect();
        let latest = |rows: &[Row]| {
            let mut latest = Latest::new();
            for (subject, business, order, granted) in rows {
                let said = Said {
                    business_id: business.map(str::to_owned),
                    order: *order,
                    granted: *granted,
                    at: format!("at {order}"),
                };
                latest.entry(subjects[*subject]).or_default().push(said);
            }
            latest
        };
        let (all, ours, theirs) = (None, Some("ours"), Some("theirs"));
        for (rows, granted, withdrawn) in [
            (&[][..], false, None),
            (&[(0, all, 1, true)], true, None),
            (&[(0, all, 1, true), (1, all, 2, false)], false, Some("at 2")),
            (&[(0, all, 3, true), (1, all, 2, false)], false, Some("at 2")),
            (&[(0, all, 1, true), (1, all, 2, true)], true, None),
            (&[(0, theirs, 1, true)], false, None),
            (&[(0, ours, 1, true), (0, theirs, 2, false)], true, None),
            (&[(0, ours, 1, true), (0, all, 2, false)], false, Some("at 2")),
            (&[(0, ours, 3, true), (0, all, 2, false)], true, None),
        ] {
            let latest = latest(rows);
            assert_eq!(consented(&names, "ours", &latest), granted, "{rows:?}");
            assert_eq!(withdrawn_since(&names, "ours", &latest), withdrawn, "{rows:?}");
        }
        assert!(!consented(&[], "ours", &latest(&[(0, all, 1, true)])));
        let one_name = [subjects.to_vec()];
        assert!(
            consented(&one_name, "ours", &latest(&[(0, all, 1, false), (2, all, 2, true)])),
            "of one person"
        );
    }
}
