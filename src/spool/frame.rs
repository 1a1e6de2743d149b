//! The frame of an event in the spool, which can be found and verified without the database around it.
//!
//! A frame consists of the magic bytes, the sequence number of the event (8 bytes, little endian), the length of the
//! payload (4 bytes, little endian), the first 8 bytes of the SHA-256 of sequence number, length and payload, and the
//! payload: the event as a report in JSON. Each frame lies within one page of the spool's file.

use chrono::DateTime;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::event::{Event, Report};

const MAGIC: &[u8; 8] = b"\x89mlops1\n";

/// The length of the header, which precedes the payload, in bytes.
const HEAD: usize = 8 + 8 + 4 + 8;

/// The fields of a payload that are not in the report.
#[derive(Serialize, Deserialize)]
struct Envelope {
    /// [`Event::at`], in microseconds since 1970.
    received_at: i64,
    /// [`Event::named`].
    named: bool,
}

/// A payload, for serialisation.
#[derive(Serialize)]
struct Payload {
    #[serde(flatten)]
    envelope: Envelope,
    #[serde(flatten)]
    report: Value,
}

/// Returns the frame of `event` with the sequence number `seq`.
pub(super) fn write(seq: i64, event: &Event) -> Vec<u8> {
    let envelope = Envelope { received_at: event.at.timestamp_micros(), named: event.named };
    let payload = Payload { envelope, report: event.report() };
    let payload = serde_json::to_vec(&payload).expect("a report is JSON");
    let length = u32::try_from(payload.len()).expect("every field of an event is bounded");
    let checksum = checksum(seq.to_le_bytes(), length.to_le_bytes(), &payload);
    [MAGIC, &seq.to_le_bytes()[..], &length.to_le_bytes(), &checksum, &payload].concat()
}

/// Decodes the frame at the beginning of `bytes`. Returns `None` if there is no intact one.
pub(super) fn read(bytes: &[u8]) -> Option<(i64, Event)> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (seq, rest) = rest.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<8>()?;
    let payload = rest.get(..u32::from_le_bytes(*length) as usize)?;
    (checksum(*seq, *length, payload) == *sum).then_some(())?;
    Some((i64::from_le_bytes(*seq), event(payload)?))
}

fn event(payload: &[u8]) -> Option<Event> {
    let envelope: Envelope = serde_json::from_slice(payload).ok()?;
    let received_at = DateTime::from_timestamp_micros(envelope.received_at)?;
    let event = Report::parse(payload).ok()?.into_event(None, received_at).ok()?;
    Some(Event { named: envelope.named, ..event })
}

fn checksum(seq: [u8; 8], length: [u8; 4], payload: &[u8]) -> [u8; 8] {
    let digest = Sha256::new().chain_update(seq).chain_update(length).chain_update(payload).finalize();
    let mut sum = [0; 8];
    sum.copy_from_slice(&digest[..8]);
    sum
}

/// Returns all intact frames of a page, at whatever offset, and the number of broken ones, recognised by their magic
/// bytes.
pub(super) fn find(page: &[u8]) -> (Vec<(i64, Event)>, usize) {
    let starts = page.windows(HEAD).enumerate().filter(|(_, head)| head.starts_with(MAGIC));
    starts.fold((Vec::new(), 0), |(mut found, broken), (at, _)| match read(&page[at..]) {
        Some(frame) => {
            found.push(frame);
            (found, broken)
        }
        None => (found, broken + 1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A payload as spool files of versions before the migration 0016 contain it, which must remain readable.
    const EARLIER_PAYLOAD: &str = r#"{"received_at":1767000000000001,"named":true,"ai_response_length":107,"api_cost_usd":105.000001,
        "appointment_booked":true,"appointment_requested":true,"business_id":"a business","completion_tokens":104,
        "conversation_id":"a conversation","event_id":"8e03978e-40d5-43dd-bc93-6894a57f9324","human_handoff_requested":true,
        "intent_detected":"an intent","model_name":"a model","prompt_tokens":103,"response_time_ms":101,
        "response_type":"a response type","session_id":"a session","success_rate":0.1234,"tokens_used":102,
        "user_message_length":106}"#;

    /// What payloads contain beside that.
    const LATER_FIELDS: &str = r#"{"tokens_estimated":true,"cached_tokens":108,"reasoning_tokens":109,
        "handoff_reason":"a handoff reason","user_satisfaction":0.4321}"#;

    fn payload(with: &Value) -> Value {
        let mut payload: Value = serde_json::from_str(EARLIER_PAYLOAD).unwrap();
        payload.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
        payload
    }

    fn sent(payload: &Value) -> Event {
        event(payload.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_frame_has_the_format_of_existing_files() {
        let expected = payload(&serde_json::from_str(LATER_FIELDS).unwrap());
        let event = sent(&expected);
        let frame = write(7, &event);
        assert_eq!(serde_json::from_slice::<Value>(&frame[HEAD..]).unwrap(), expected);
        assert_eq!(read(&frame), Some((7, event)));
    }

    #[test]
    fn a_frame_of_an_earlier_version_lacks_only_the_later_fields() {
        let earlier = event(EARLIER_PAYLOAD.as_bytes()).unwrap();
        let absent = serde_json::json!({"tokens_estimated": false, "cached_tokens": null, "reasoning_tokens": null,
            "handoff_reason": null, "user_satisfaction": null});
        assert_eq!(earlier, sent(&payload(&absent)));
        assert_eq!((earlier.prompt_tokens, earlier.ai_response_length), (Some(103), 107));
    }
}
