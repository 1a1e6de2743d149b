//! One finished AI interaction: what `POST /track` reports and what a row of `ai_metrics` holds.

mod report;
mod scalar;

pub use report::{MAX_KEY_CHARS, Refusal, Report};

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A checked event, ready to be stored.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent facts, each a column of its own")]
pub struct Event {
    /// Its identity: however often it is sent, it counts once.
    pub id: Uuid,
    /// Whether the caller chose [`Event::id`]; only then can an event be a repeat.
    pub named: bool,
    /// When the service received it.
    pub at: DateTime<Utc>,
    /// The business the conversation belongs to; 1 to 255 characters.
    pub business_id: String,
    /// At most 255 characters.
    pub conversation_id: Option<String>,
    /// At most 255 characters.
    pub session_id: String,
    /// How long the AI took, in milliseconds; never negative.
    pub response_time_ms: i32,
    /// Between 0 and 1; `None` when the caller did not say, which stores 1 and leaves the gauge alone.
    pub success_rate: Option<f64>,
    /// Tokens of prompt and completion together; never negative.
    pub tokens_used: i32,
    /// Never negative.
    pub prompt_tokens: Option<i32>,
    /// Never negative.
    pub completion_tokens: Option<i32>,
    /// Cost in millionths of a US dollar, 0 to 9,999,999,999.
    pub cost_micros: i64,
    /// At most 100 characters.
    pub model_name: String,
    /// At most 50 characters.
    pub intent_detected: String,
    /// At most 50 characters.
    pub response_type: String,
    /// Whether the customer asked for an appointment.
    pub appointment_requested: bool,
    /// Whether one was booked.
    pub appointment_booked: bool,
    /// Whether the AI handed over to a person.
    pub human_handoff_requested: bool,
    /// Length of the customer's message in characters; never negative.
    pub user_message_length: i32,
    /// Length of the AI's answer in characters; never negative.
    pub ai_response_length: i32,
}

impl Event {
    /// The success rate as `ai_metrics` keeps it: ten-thousandths, 1.0 when the caller did not say.
    #[must_use]
    pub fn success_e4(&self) -> i32 {
        success_e4(self.success_rate.unwrap_or(1.0))
    }
}

/// A rate between 0 and 1 in ten-thousandths, the resolution of `DECIMAL(5,4)`.
fn success_e4(rate: f64) -> i32 {
    #[expect(clippy::cast_possible_truncation, reason = "a rate is at most 1")]
    let e4 = (rate * 10_000.0).round() as i32;
    e4
}

/// What stands for a session, an intent and other words that were not told.
pub const UNSAID: &str = "unknown";

/// Ids that name nobody, whoever's events they are in: what stands for none here, and what callers write where they have
/// none.
pub const NOBODYS_IDS: [&str; 4] = ["", UNSAID, "null", "undefined"];

/// First eight bytes of the ids that the store gives to rows which other programs inserted: the first is for a
/// row that `/track` may still claim, the second for one that is too old for it.
pub const FOREIGN_ID_PREFIXES: [[u8; 8]; 2] = [[0, 0, 0, 0, 0, 0, 0x80, 0], [0, 0, 0, 0, 0, 0, 0x80, 1]];

/// The id of the event a caller names by `key`: the UUID itself where the key is one, else a UUID of version 8
/// (RFC 9562) made from its SHA-256. A key that is no UUID is the caller's own numbering, so it is read within
/// the business: two businesses that both count from 1 do not meet.
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
    fn a_uuid_names_itself_and_any_other_key_is_read_within_its_business() {
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
