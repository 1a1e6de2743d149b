//! How an event lies in the spool: whole or not at all, and to be found without the database around it.
//!
//! A frame is the magic bytes, its number (8 bytes, little endian), the length of its payload (4 bytes), the first 8
//! bytes of the SHA-256 of number, length and payload, and the payload: the event as a report in JSON. No frame reaches
//! over a page of the spool's file.

use chrono::DateTime;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::event::{Event, Report};

const MAGIC: &[u8; 8] = b"\x89mlops1\n";

/// What stands before the payload, in bytes.
const HEAD: usize = 8 + 8 + 4 + 8;

/// What a payload holds beside the report.
#[derive(Serialize, Deserialize)]
struct Envelope {
    /// See [`Event::at`]; microseconds since 1970.
    received_at: i64,
    /// See [`Event::named`].
    named: bool,
}

/// The payload as it is written.
#[derive(Serialize)]
struct Payload {
    #[serde(flatten)]
    envelope: Envelope,
    #[serde(flatten)]
    report: Value,
}

/// The frame of `event`, whose number is `seq`.
pub(super) fn write(seq: i64, event: &Event) -> Vec<u8> {
    let envelope = Envelope { received_at: event.at.timestamp_micros(), named: event.named };
    let payload = Payload { envelope, report: event.report() };
    let payload = serde_json::to_vec(&payload).expect("a report is JSON");
    let length = u32::try_from(payload.len()).expect("every field of an event is bounded");
    let checksum = checksum(seq.to_le_bytes(), length.to_le_bytes(), &payload);
    [MAGIC, &seq.to_le_bytes()[..], &length.to_le_bytes(), &checksum, &payload].concat()
}

/// Reads the frame that `bytes` begin with; `None` if they are no whole frame.
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

/// All frames that a page of a file holds, wherever they lie in it, and how many more there seem to be.
pub(super) fn find(page: &[u8]) -> (Vec<(i64, Event)>, usize) {
    let starts = page.windows(HEAD).enumerate().filter(|(_, head)| head.starts_with(MAGIC));
    let (found, seeming): (Vec<_>, usize) =
        starts.fold((Vec::new(), 0), |(mut found, broken), (at, _)| match read(&page[at..]) {
            Some(frame) => {
                found.push(frame);
                (found, broken)
            }
            None => (found, broken + 1),
        });
    (found, seeming)
}
