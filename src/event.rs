//! Events: finished AI interactions, reported to `POST /track` and stored as rows of `ai_metrics`. To add a field,
//! see `fields.rs`.

mod body;
mod column;
mod fields;
mod kind;
mod moment;
mod record;
mod redact;
mod report;
mod scalar;

pub use column::{Column, Get, Getter};
pub use fields::{COLUMNS, Event, ReadColumn, Row};
pub use record::{Record, Recorded};
pub use report::{MAX_KEY_CHARS, Refusal, Report};
pub(crate) use scalar::Scalar;

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// What names an event: its id within its business. Two businesses may use the same id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EventKey {
    /// See [`Event::business_id`].
    pub business_id: String,
    /// See [`Event::id`].
    pub id: Uuid,
}

impl EventKey {
    /// Returns the key as one UUID.
    #[must_use]
    pub fn hashed(&self) -> Uuid {
        derived_id(&[&self.business_id, self.id.as_hyphenated().encode_lower(&mut Uuid::encode_buffer())])
    }
}

impl Event {
    /// Returns what names the event.
    #[must_use]
    pub fn key(&self) -> EventKey {
        EventKey { business_id: self.business_id.clone(), id: self.id }
    }

    /// Returns the success rate in ten-thousandths; see [`success_e4`].
    #[must_use]
    pub fn success_e4(&self) -> i32 {
        success_e4(self.success_rate)
    }
}

/// Converts a rate between 0 and 1 to ten-thousandths, the resolution of the column's `DECIMAL(5,4)`. `None`, which
/// means that no rate was reported, counts as 1.
#[must_use]
pub fn success_e4(rate: Option<f64>) -> i32 {
    e4(rate.unwrap_or(1.0))
}

/// Converts a number between 0 and 1 to ten-thousandths.
#[must_use]
pub fn e4(rate: f64) -> i32 {
    #[expect(clippy::cast_possible_truncation, reason = "a rate is at most 1")]
    let e4 = (rate * 10_000.0).round() as i32;
    e4
}

/// The session, intent and response type of an event that was reported without one.
pub const UNKNOWN: &str = "unknown";

/// Conversation and session ids that identify nobody: [`UNKNOWN`], and what callers without an id send.
pub const PLACEHOLDER_IDS: [&str; 4] = ["", UNKNOWN, "null", "undefined"];

/// Returns whether an id identifies nobody, in whatever case it is written.
#[must_use]
pub fn is_placeholder_id(id: &str) -> bool {
    PLACEHOLDER_IDS.iter().any(|placeholder| placeholder.eq_ignore_ascii_case(id.trim()))
}

/// The first eight bytes of the ids that the store assigns to rows of other programs: the first for a row that `/track`
/// may still claim, the second for one that is too old.
pub const FOREIGN_ID_PREFIXES: [[u8; 8]; 2] = [[0, 0, 0, 0, 0, 0, 0x80, 0], [0, 0, 0, 0, 0, 0, 0x80, 1]];

/// Returns the event id for an idempotency key: the key itself if it is a UUID, otherwise a version 8 UUID (RFC 9562)
/// derived from its SHA-256. A key that is not a UUID is scoped to the business, so that two businesses that both
/// number their events from 1 do not collide. UUIDs with one of [`FOREIGN_ID_PREFIXES`] are reserved and hashed too.
#[must_use]
pub fn id_from_key(business_id: &str, key: &str) -> Uuid {
    match Uuid::try_parse(key) {
        Ok(id) if !FOREIGN_ID_PREFIXES.iter().any(|prefix| id.as_bytes().starts_with(prefix)) => id,
        Ok(id) => derived_id(&["", id.as_hyphenated().encode_lower(&mut Uuid::encode_buffer())]),
        Err(_) => derived_id(&[business_id, key]),
    }
}

fn derived_id(parts: &[&str]) -> Uuid {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_its_own_id_and_any_other_key_is_scoped_to_its_business() {
        let id = "8e03978e-40d5-43dd-bc93-6894a57f9324";
        assert_eq!(id_from_key("acme", id).to_string(), id);
        assert_eq!(id_from_key("acme", "1"), id_from_key("acme", "1"));
        assert_ne!(id_from_key("acme", "1"), id_from_key("bolt", "1"));
        assert_ne!(id_from_key("a", "b1"), id_from_key("ab", "1"));
    }

    #[test]
    fn a_caller_cannot_take_an_id_that_marks_foreign_rows() {
        let foreign = "00000000-0000-8000-8000-000000000007";
        let id = id_from_key("acme", foreign);
        assert_ne!(id.to_string(), foreign);
        assert_eq!(id, id_from_key("bolt", foreign), "a UUID names one event, whatever the business");
    }
}
