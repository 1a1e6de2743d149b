//! Selectors, which identify a person, and hashes, which replace a person wherever the plain value is not
//! needed. No I/O here.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The maximum length of an e-mail address, in characters (RFC 5321 allows 254 bytes).
const MAX_EMAIL_CHARS: usize = 254;

/// The maximum length of an id, in characters, as in events.
const MAX_ID_CHARS: usize = 255;

/// The number of digits of a phone number (ITU-T E.164 allows up to 15).
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// The hash key used outside production when none is set.
const DEVELOPMENT_KEY: &[u8] = b"mlops-service: the key of development, which everybody knows";

/// Identifies a person, in normalised form. `Debug` shows only the kind, so that logs never contain the
/// person.
#[derive(Clone, PartialEq, Eq)]
pub enum Selector {
    /// An e-mail address, in lower case.
    Email(String),
    /// A phone number: its digits, after a `+` if it is international.
    Phone(String),
    /// A conversation id, unchanged.
    Conversation(String),
    /// A session id, unchanged.
    Session(String),
}

impl Selector {
    /// Parses an e-mail address. The error says what it must be, as do those of the other functions.
    pub fn email(text: &str) -> Result<Self, String> {
        let text = text.trim().to_lowercase();
        let parts = text.rsplit_once('@').filter(|(name, host)| !name.is_empty() && !host.is_empty());
        let plain = !text.contains(|c: char| c.is_whitespace() || c.is_control());
        match parts {
            Some(_) if plain && text.chars().count() <= MAX_EMAIL_CHARS => Ok(Self::Email(text)),
            _ => Err(format!("must be an e-mail address of at most {MAX_EMAIL_CHARS} characters")),
        }
    }

    /// Parses a phone number with any common separators. A leading `+` or `00` means that a country code
    /// follows.
    pub fn phone(text: &str) -> Result<Self, String> {
        normal_phone(text).map(Self::Phone).ok_or_else(|| {
            format!("must be a phone number of {} to {} digits", PHONE_DIGITS.start(), PHONE_DIGITS.end())
        })
    }

    /// Parses a conversation id.
    pub fn conversation(text: &str) -> Result<Self, String> {
        id(text).map(Self::Conversation)
    }

    /// Parses a session id.
    pub fn session(text: &str) -> Result<Self, String> {
        id(text).map(Self::Session)
    }

    /// Parses a text of unknown kind: with an `@`, an e-mail address; with a leading `+` or `00`, a phone
    /// number if it is one; otherwise a conversation id.
    pub fn guess(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        let international = trimmed.starts_with('+') || trimmed.starts_with("00");
        match normal_phone(trimmed).filter(|_| international) {
            _ if text.contains('@') => Self::email(text),
            Some(phone) => Ok(Self::Phone(phone)),
            None => Self::conversation(text),
        }
    }

    /// Returns the normalised text. It identifies a person and must not appear in any log, metric, audit
    /// entry or error.
    #[must_use]
    pub fn expose(&self) -> &str {
        let (Self::Email(text) | Self::Phone(text) | Self::Conversation(text) | Self::Session(text)) = self;
        text
    }

    /// Returns the name of the kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Email(_) => "email",
            Self::Phone(_) => "phone",
            Self::Conversation(_) => "conversation_id",
            Self::Session(_) => "session_id",
        }
    }
}

impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Selector({})", self.kind())
    }
}

/// Returns the digits of a phone number, after a `+` if it starts with `+` or `00`.
fn normal_phone(text: &str) -> Option<String> {
    let text = text.trim();
    let (international, rest) = match text.strip_prefix('+').or_else(|| text.strip_prefix("00")) {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let is_separator =
        |c: char| c.is_whitespace() || matches!(c, '-' | '.' | '(' | ')' | '/' | '\u{2010}'..='\u{2015}');
    let written = rest.chars().all(|c| c.is_ascii_digit() || is_separator(c));
    let digits: String = rest.chars().filter(char::is_ascii_digit).collect();
    let fits = written && PHONE_DIGITS.contains(&digits.len());
    fits.then(|| if international { format!("+{digits}") } else { digits })
}

fn id(text: &str) -> Result<String, String> {
    let fits = (1..=MAX_ID_CHARS).contains(&text.chars().count()) && !text.contains(char::is_control);
    fits.then(|| text.to_owned())
        .ok_or_else(|| format!("must be an id of 1 to {MAX_ID_CHARS} characters, without control characters"))
}

/// The hash of a person. Without the key it can be neither traced back nor recomputed by guessing. It is
/// displayed as its first 8 digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubjectHash([u8; 32]);

impl SubjectHash {
    /// Returns the bytes of the hash, as they are stored.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for SubjectHash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for SubjectHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0[..4]))
    }
}

impl fmt::Debug for SubjectHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubjectHash({self})")
    }
}

/// Hashes persons under `PRIVACY_HASH_KEY`.
#[derive(Clone)]
pub struct Hasher(Hmac<Sha256>);

impl Hasher {
    /// Creates a hasher with `key`.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes a key of any length"))
    }

    /// Creates a hasher with a publicly known key, for development.
    #[must_use]
    pub fn for_development() -> Self {
        Self::new(DEVELOPMENT_KEY)
    }

    /// Returns the hash of the person that `selector` identifies. A conversation id and an equal session id
    /// have the same hash, so that a consent for an id covers both.
    #[must_use]
    pub fn hash(&self, selector: &Selector) -> SubjectHash {
        let domain = match selector {
            Selector::Email(_) => "email",
            Selector::Phone(_) => "phone",
            Selector::Conversation(_) | Selector::Session(_) => "id",
        };
        let mut mac = self.0.clone();
        mac.update(format!("mlops-service subject {domain}\n").as_bytes());
        mac.update(selector.expose().as_bytes());
        SubjectHash(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Source};

    fn phone(text: &str) -> Option<String> {
        Selector::phone(text).ok().map(|selector| selector.expose().to_owned())
    }

    #[test]
    fn e_mail_addresses_are_normalised() {
        let ana = Selector::email("ana@example.com").unwrap();
        assert!(Selector::email("  Ana@Example.COM\n").unwrap() == ana);
        for wrong in
            ["", "ana", "@example.com", "ana@", "a na@example.com", "ana@exam\0ple.com", &"a@b".repeat(99)]
        {
            assert!(Selector::email(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn phone_numbers_are_normalised() {
        for written in
            ["+49 (151) 234-567", "0049151234567", "+49151234567", " +49.151/234 567 ", "00 49 151 234567"]
        {
            assert_eq!(phone(written).as_deref(), Some("+49151234567"), "{written}");
        }
        assert_eq!(phone("(0151) 234-567").as_deref(), Some("0151234567"), "of which country is not known");
        for wrong in ["", "+", "123456", "+1234567890123456", "+49 151 CALL ME", "49+151234567", "٠١٢٣٤٥٦٧٨"]
        {
            assert_eq!(phone(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_id_is_not_changed() {
        assert_eq!(Selector::conversation(" Conv-1 ").unwrap().expose(), " Conv-1 ");
        for wrong in ["", "a\nb", &"x".repeat(256)] {
            assert!(Selector::conversation(wrong).is_err() && Selector::session(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_kind_of_a_free_text_is_guessed_from_its_form() {
        for (text, kind) in [
            ("Ana@example.com", "email"),
            ("+49 151 234567", "phone"),
            ("0049151234567", "phone"),
            ("0151234567", "conversation_id"),
            ("+49 and so on", "conversation_id"),
            ("00000000-0000-4000-8000-000000000000", "conversation_id"),
            ("conv-1", "conversation_id"),
        ] {
            assert_eq!(Selector::guess(text).unwrap().kind(), kind, "{text}");
        }
        assert!(Selector::guess("@").is_err() && Selector::guess("").is_err());
    }

    #[test]
    fn a_hash_depends_on_the_key_the_kind_and_the_normalised_text() {
        let (ours, theirs) = (Hasher::new(&[7; 32]), Hasher::new(&[8; 32]));
        let hash = |selector: Result<Selector, String>| ours.hash(&selector.unwrap());
        assert_eq!(hash(Selector::email("Ana@example.com")), hash(Selector::email("ana@EXAMPLE.com ")));
        assert_eq!(hash(Selector::phone("+49 151 234567")), hash(Selector::phone("0049151234567")));
        assert_eq!(hash(Selector::conversation("c-1")), hash(Selector::session("c-1")));
        assert_ne!(hash(Selector::phone("0151234567")), hash(Selector::session("0151234567")));
        assert_ne!(hash(Selector::session("c-1")), theirs.hash(&Selector::session("c-1").unwrap()));
        // Computed with: printf 'mlops-service subject id\nc-1' | openssl dgst -sha256 -mac HMAC -macopt
        // hexkey:0707…
        assert_eq!(hex::encode(hash(Selector::session("c-1")).bytes()), KNOWN);
    }

    #[test]
    fn debug_output_never_contains_the_person() {
        let selector = Selector::email("ana@example.com").unwrap();
        let hasher = Hasher::new(&[7; 32]);
        let hash = hasher.hash(&selector);
        assert_eq!(format!("{selector:?} {hasher:?}"), "Selector(email) Hasher");
        assert_eq!(format!("{hash} {hash:?}").len(), "01234567 SubjectHash(01234567)".len());
    }

    #[test]
    fn production_requires_a_configured_key() {
        let hasher = |settings: &[(&str, &str)]| {
            let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            Config::read(&settings.collect::<Source>()).unwrap().hasher()
        };
        let production =
            [("ENVIRONMENT", "production"), ("MLOPS_API_KEY", "9a7f2c8e5d1b3f6a4e8c9d2f1a7b5c3e")];
        assert!(hasher(&[]).is_some() && hasher(&production).is_none());
        let key = ("PRIVACY_HASH_KEY", "3e5c7b1a2f9d8c4e6a3f1b5d8e2c7f9a");
        assert!(hasher(&[production[0], production[1], key]).is_some());
    }

    const KNOWN: &str = "b2bc3580ae464d6f98cbf075a71e14f5c07a94c2162bd5b74113e181dd25242b";
}
