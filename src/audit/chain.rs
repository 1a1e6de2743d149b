//! The hash chain: each entry is hashed together with the hash of the entry before it.
//!
//! The hash of an entry is the SHA-256 of the 32 bytes of the previous hash, followed by the fields [`FORM`],
//! seq, at, actor, action, request id, subject and details, each as a netstring: its length in bytes in
//! decimal, `:`, its bytes, `,`. A null field is `-,`. Numbers are decimal; `at` is
//! `2024-01-15T10:30:00.000000+00:00`; the subject is lower-case hex. The previous hash of the first entry is
//! 32 zero bytes.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, SubsecRound, Utc};
use sha2::{Digest, Sha256};

use super::Entry;
use crate::clock::timestamp;

/// The name of the format of the hashed text. Another format would get another name.
pub const FORM: &str = "mlops-audit-1";

/// The position and the hash of an entry. Its text is `seq:hash`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The position, from 1; 0 for an empty chain.
    pub seq: i64,
    /// The hash.
    pub hash: [u8; 32],
}

impl Head {
    /// The head of an empty chain.
    pub const NONE: Self = Self { seq: 0, hash: [0; 32] };
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, hex::encode(self.hash))
    }
}

/// The error of parsing a [`Head`] from any other text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a head is SEQ:HASH: a number and 64 hexadecimal digits")]
pub struct InvalidHead;

impl FromStr for Head {
    type Err = InvalidHead;

    fn from_str(text: &str) -> Result<Self, InvalidHead> {
        let (seq, digits) = text.trim().split_once(':').ok_or(InvalidHead)?;
        let mut hash = [0; 32];
        hex::decode_to_slice(digits, &mut hash).map_err(|_: hex::FromHexError| InvalidHead)?;
        let seq = seq.parse().ok().filter(|seq| *seq >= 0);
        Ok(Self { seq: seq.ok_or(InvalidHead)?, hash })
    }
}

/// An entry as it is stored. None of it is trusted: it may have been tampered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    /// Its position in the chain.
    pub seq: i64,
    /// When it was written.
    pub at: DateTime<Utc>,
    /// Who did it; see [`Actor`](super::Actor).
    pub actor: String,
    /// What was done.
    pub action: String,
    /// The id of the request that caused it.
    pub request_id: Option<String>,
    /// The hash of the person concerned.
    pub subject: Option<Vec<u8>>,
    /// Counts and ids, as a JSON object.
    pub details: String,
    /// The hash of the entry before it.
    pub previous: Vec<u8>,
    /// Its own hash.
    pub hash: Vec<u8>,
}

impl StoredEntry {
    /// Chains `entry`, written at `at`, to `head`.
    #[must_use]
    pub fn after(head: Head, at: DateTime<Utc>, entry: &Entry) -> Self {
        let mut stored = Self {
            seq: head.seq.saturating_add(1),
            // The precision of both databases.
            at: at.trunc_subsecs(6),
            actor: entry.actor.clone(),
            action: entry.action.name().to_owned(),
            request_id: entry.request_id.clone(),
            subject: entry.subject.map(|subject| subject.bytes().to_vec()),
            details: serde_json::Value::Object(entry.details.clone()).to_string(),
            previous: head.hash.to_vec(),
            hash: Vec::new(),
        };
        stored.hash = stored.digest().to_vec();
        stored
    }

    /// Computes the hash of the entry from its content.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let (seq, at) = (self.seq.to_string(), timestamp(self.at));
        let subject = self.subject.as_ref().map(hex::encode);
        let fields = [
            Some(FORM),
            Some(&seq),
            Some(&at),
            Some(&self.actor),
            Some(&self.action),
            self.request_id.as_deref(),
            subject.as_deref(),
            Some(&self.details),
        ];
        let mut hash = Sha256::new_with_prefix(&self.previous);
        for field in fields {
            match field {
                Some(text) => hash.update(format!("{}:{text},", text.len())),
                None => hash.update("-,"),
            }
        }
        hash.finalize().into()
    }

    /// Returns the position and the stored hash; `None` if that is not 32 bytes long.
    #[must_use]
    pub fn head(&self) -> Option<Head> {
        Some(Head { seq: self.seq, hash: self.hash.as_slice().try_into().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Action, Actor};

    fn stored() -> StoredEntry {
        let by = Actor { name: "key:0011223344556677".to_owned(), request_id: Some("r-1".to_owned()) };
        let entry = by.entry(Action::PrivacyExport).about([7; 32].into()).with("rows", 3).with("b", "ü");
        StoredEntry::after(
            Head { seq: 4, hash: [9; 32] },
            DateTime::from_timestamp_nanos(1_705_314_600_123_456_789),
            &entry,
        )
    }

    #[test]
    fn the_hash_is_over_the_documented_text() {
        let text = "13:mlops-audit-1,1:5,32:2024-01-15T10:30:00.123456+00:00,20:key:0011223344556677,14:privacy.export,\
                    3:r-1,64:0707070707070707070707070707070707070707070707070707070707070707,19:{\"b\":\"ü\",\"rows\":3},";
        let expected = Sha256::new_with_prefix([9; 32]).chain_update(text).finalize();
        assert_eq!(stored().hash, expected.as_slice());
        let bare = StoredEntry { request_id: None, subject: None, ..stored() };
        let text = "13:mlops-audit-1,1:5,32:2024-01-15T10:30:00.123456+00:00,20:key:0011223344556677,14:privacy.export,\
                    -,-,19:{\"b\":\"ü\",\"rows\":3},";
        assert_eq!(
            bare.digest().as_slice(),
            Sha256::new_with_prefix([9; 32]).chain_update(text).finalize().as_slice()
        );
    }

    #[test]
    fn every_field_is_hashed() {
        let entry = stored();
        let changed = [
            StoredEntry { seq: 6, ..entry.clone() },
            StoredEntry { at: entry.at + chrono::TimeDelta::microseconds(1), ..entry.clone() },
            StoredEntry { actor: "key:0011223344556678".to_owned(), ..entry.clone() },
            StoredEntry { action: "privacy.erase".to_owned(), ..entry.clone() },
            StoredEntry { request_id: None, ..entry.clone() },
            StoredEntry { request_id: Some("-".to_owned()), ..entry.clone() },
            StoredEntry { subject: None, ..entry.clone() },
            StoredEntry { subject: Some(vec![8; 32]), ..entry.clone() },
            StoredEntry { details: "{\"b\":\"ü\",\"rows\":4}".to_owned(), ..entry.clone() },
            StoredEntry { previous: vec![8; 32], ..entry.clone() },
        ];
        for other in changed {
            assert_ne!(other.digest(), entry.digest(), "{other:?}");
        }
    }

    #[test]
    fn a_head_is_parsed_from_its_text() {
        let head = stored().head().unwrap();
        assert_eq!(head.to_string().parse(), Ok(head));
        let digits = "0".repeat(64);
        for wrong in ["", "5", "5:00", "x:00", &format!("-1:{digits}"), &format!("5:{digits}0"), &digits] {
            assert_eq!(wrong.parse::<Head>(), Err(InvalidHead), "{wrong}");
        }
    }
}
