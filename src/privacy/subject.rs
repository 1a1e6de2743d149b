//! Selectors, which identify a person, and hashes, which replace a person wherever the plain value is not
//! needed. No I/O here.

mod email;
mod found_in;
mod phone;
mod reader;
mod written;

pub use found_in::has_contact;
pub use reader::{ContactReader, Country};

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The maximum length of an id, in characters, as in events.
const MAX_ID_CHARS: usize = 255;

/// The hash key used outside production when none is set.
const DEVELOPMENT_KEY: &[u8] = b"mlops-service: the key of development, which everybody knows";

/// Identifies a person, in normalised form. `Debug` shows only the kind, so that logs never contain the
/// person.
#[derive(Clone, PartialEq, Eq)]
pub enum Selector {
    /// An e-mail address, case-folded.
    Email(String),
    /// A phone number: `+` and digits, or digits alone if its country is not known.
    Phone(String),
    /// A conversation id, unchanged.
    Conversation(String),
    /// A session id, unchanged.
    Session(String),
}

impl Selector {
    /// Parses a conversation id. The error says what it must be, as do those of the other functions.
    pub fn conversation(text: &str) -> Result<Self, String> {
        id(text).map(Self::Conversation)
    }

    /// Parses a session id.
    pub fn session(text: &str) -> Result<Self, String> {
        id(text).map(Self::Session)
    }

    /// Returns the normalised text. It identifies a person and must not appear in any log, metric, audit
    /// entry or error.
    #[must_use]
    pub fn expose(&self) -> &str {
        let (Self::Email(text) | Self::Phone(text) | Self::Conversation(text) | Self::Session(text)) = self;
        text
    }

    /// Returns whether `other` differs by one letter or digit, by two that were swapped, or only by the country of a phone number.
    #[must_use]
    pub fn is_near(&self, other: &Self) -> bool {
        let (one, two) = (self.expose(), other.expose());
        let is_typo =
            || one != two && one.len().abs_diff(two.len()) <= 4 && strsim::osa_distance(one, two) == 1;
        match (self, other) {
            (Self::Email(_), Self::Email(_)) => is_typo(),
            (Self::Phone(_), Self::Phone(_)) => is_typo() || one != two && phone::is_same_abroad(one, two),
            _ => false,
        }
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

fn id(text: &str) -> Result<String, String> {
    let fits = (1..=MAX_ID_CHARS).contains(&text.chars().count()) && !text.contains(char::is_control);
    fits.then(|| text.to_owned())
        .ok_or_else(|| format!("must be an id of 1 to {MAX_ID_CHARS} characters, without control characters"))
}

/// Returns whether a text contains a name, which is in lower case, as whole words.
#[must_use]
pub fn contains_name(text: &str, name: &str) -> bool {
    let (text, name) = (written::folded(&written::plain(text)), written::folded(&written::plain(name)));
    let is_whole = |(at, found): (usize, &str)| {
        let before = text[..at].chars().next_back();
        let after = text[at + found.len()..].chars().next();
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
    };
    text.match_indices(name.as_str()).any(is_whole)
}

/// The hash of a person. Without the key it can be neither traced back nor recomputed by guessing. It is
/// displayed as its first 8 digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubjectHash([u8; 32]);

impl SubjectHash {
    /// Returns the hash in hexadecimal.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

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

/// What can have a tombstone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Buried {
    /// A conversation.
    Conversation,
    /// The events of a session that belong to no conversation: a session may be an office's.
    Session,
    /// What tells that a conversation was of several people, one of whom was erased: it does not become that of the others.
    Dispute,
}

/// Hashes persons under `PRIVACY_HASH_KEY`.
#[derive(Clone)]
pub struct Hasher {
    key: Hmac<Sha256>,
    /// Reads their contacts.
    pub reader: ContactReader,
}

impl Hasher {
    /// Creates a hasher with `key`; without one, with a publicly known key, for development.
    #[must_use]
    pub fn new(key: Option<&[u8]>, reader: ContactReader) -> Self {
        let key = key.unwrap_or(DEVELOPMENT_KEY);
        Self { key: Hmac::new_from_slice(key).expect("HMAC takes a key of any length"), reader }
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
        self.hash_of(&format!("subject {domain}"), &[selector.expose()])
    }

    /// Returns every hash under which data about the person may be stored, that of [`Hasher::hash`] first.
    #[must_use]
    pub fn hashes(&self, selector: &Selector) -> Vec<SubjectHash> {
        let others = self.reader.also_known_as(selector);
        [self.hash(selector)].into_iter().chain(others.iter().map(|other| self.hash(other))).collect()
    }

    /// Returns the hash of the tombstone of a conversation or session of a business; of any business if that is `None`.
    #[must_use]
    pub fn tombstone(&self, kind: Buried, business: Option<&str>, id: &str) -> SubjectHash {
        let domain = match kind {
            Buried::Conversation => "tombstone of a conversation",
            Buried::Session => "tombstone of a session",
            Buried::Dispute => "tombstone of a dispute",
        };
        self.hash_of(domain, &[business.unwrap_or_default(), id])
    }

    /// Returns the mark of the tombstones of a conversation or session: a short hash of its id alone, which others may share.
    #[must_use]
    pub fn mark(&self, kind: Buried, id: &str) -> i64 {
        let hash = self.tombstone(kind, None, id);
        let (first, _) = hash.bytes().split_first_chunk().expect("a hash has 32 bytes");
        i64::from_be_bytes(*first)
    }

    /// Returns the token that confirms that a request of this kind means all of `people`.
    #[must_use]
    pub fn confirmation(
        &self,
        kind: &str,
        selector: &Selector,
        business: Option<&str>,
        people: &[SubjectHash],
    ) -> String {
        let mut people: Vec<String> = people.iter().map(SubjectHash::to_hex).collect();
        people.sort_unstable();
        let people = people.join(" ");
        let texts = [kind, selector.kind(), selector.expose(), business.unwrap_or_default(), people.as_str()];
        hex::encode(&self.hash_of("confirmation", &texts).bytes()[..16])
    }

    /// Returns the hash of some texts, which differs from that of the same texts in another `domain`.
    fn hash_of(&self, domain: &str, texts: &[&str]) -> SubjectHash {
        let mut mac = self.key.clone();
        mac.update(format!("mlops-service {domain}\n").as_bytes());
        mac.update(texts.join("\n").as_bytes());
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

    fn reader(country: Option<&str>) -> ContactReader {
        ContactReader::new(country.map(|country| country.parse().unwrap()))
    }

    #[test]
    fn an_id_is_not_changed() {
        assert_eq!(Selector::conversation(" Conv-1 ").unwrap().expose(), " Conv-1 ");
        for wrong in ["", "a\nb", &"x".repeat(256)] {
            assert!(Selector::conversation(wrong).is_err() && Selector::session(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn earlier_names_of_a_number_are_known() {
        let hasher = Hasher::new(None, reader(Some("DE")));
        let known = hasher.hashes(&hasher.reader.phone("+49 151 2345678").unwrap());
        for earlier in ["+491512345678", "491512345678", "+4901512345678", "01512345678"] {
            assert!(known.contains(&hasher.hash(&Selector::Phone(earlier.to_owned()))), "{earlier}");
        }
        let abroad = hasher.hashes(&hasher.reader.phone("+43 151 2345678").unwrap());
        assert!(!abroad.contains(&hasher.hash(&Selector::Phone("01512345678".to_owned()))));
    }

    #[test]
    fn a_hash_depends_on_the_key_the_kind_and_the_normalised_text() {
        let reader = reader(None);
        let (ours, theirs) = (Hasher::new(Some(&[7; 32]), reader), Hasher::new(Some(&[8; 32]), reader));
        let hash = |selector: Result<Selector, String>| ours.hash(&selector.unwrap());
        assert_eq!(hash(reader.email("Ana@example.com")), hash(reader.email("ana@EXAMPLE.com ")));
        assert_eq!(hash(reader.phone("+49 151 234567")), hash(reader.phone("0049151234567")));
        assert_eq!(hash(Selector::conversation("c-1")), hash(Selector::session("c-1")));
        assert_ne!(hash(reader.phone("0151234567")), hash(Selector::session("0151234567")));
        assert_ne!(hash(Selector::session("c-1")), theirs.hash(&Selector::session("c-1").unwrap()));
        // Computed with: printf 'mlops-service subject id\nc-1' | openssl dgst -sha256 -mac HMAC -macopt
        // hexkey:0707…
        assert_eq!(hex::encode(hash(Selector::session("c-1")).bytes()), KNOWN);
    }

    #[test]
    fn debug_output_never_contains_the_person() {
        let selector = reader(None).email("ana@example.com").unwrap();
        let hasher = Hasher::new(None, reader(None));
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
            [("ENVIRONMENT", "production"), ("MLOPS_API_KEY", "c51e07fa9b3d4862d8a1f6704e92b5c3")];
        assert!(hasher(&[]).is_some() && hasher(&production).is_none());
        let key = ("PRIVACY_HASH_KEY", "3e5c7b1a2f9d8c4e6a3f1b5d8e2c7f9a");
        assert!(hasher(&[production[0], production[1], key]).is_some());
    }

    const KNOWN: &str = "b2bc3580ae464d6f98cbf075a71e14f5c07a94c2162bd5b74113e181dd25242b";
}
