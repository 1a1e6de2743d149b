//! Splits a large batch into statements that each fit into one TLS record.
//!
//! What it buys: a statement of several records waits 40 ms under TLS, however large it is. Nagle's algorithm, which sqlx 0.9
//! leaves on, holds the last record back until the server's kernel acknowledges the one before, and that acknowledgement is
//! delayed. With statements of one record `POST /track/batch` stores 59,575 events per second (`bench/README.md`), in about ten
//! statements for 500 events.
//!
//! It can go when sqlx sets `TCP_NODELAY` on its sockets, or takes a socket that has it set.

use std::collections::HashSet;

use crate::event::Event;
use crate::rollup::key_of;

/// The most bytes of a statement that fits into one TLS record, which has 16,384.
const SMALL_BYTES: usize = 15_500;

/// What a statement takes beside events and keys, in bytes.
const HEAD_BYTES: usize = 1_200;

/// What an event takes in a statement beside its texts, in bytes, its part of a latency included.
const EVENT_BYTES: usize = 155;

/// What a key takes in a statement beside its texts, in bytes.
const KEY_BYTES: usize = 215;

/// Returns the events of each statement: as many as fit into one record.
pub(super) fn parts(events: &[Event]) -> Vec<&[Event]> {
    // If they fit without any key in common, nothing else has to be computed.
    if HEAD_BYTES + events.iter().map(|e| own_bytes(e) + key_bytes(e)).sum::<usize>() <= SMALL_BYTES {
        return vec![events];
    }
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut bytes, mut keys) = (HEAD_BYTES, HashSet::new());
    for (number, event) in events.iter().enumerate() {
        bytes += bytes_of(event, &mut keys);
        if bytes > SMALL_BYTES && number > start {
            parts.push(&events[start..number]);
            start = number;
            keys.clear();
            bytes = HEAD_BYTES + bytes_of(event, &mut keys);
        }
    }
    parts.push(&events[start..]);
    parts
}

/// Returns the bytes that an event adds to a statement with these keys.
fn bytes_of<'e>(event: &'e Event, keys: &mut HashSet<[&'e str; 4]>) -> usize {
    own_bytes(event) + if keys.insert(key_of(event)) { key_bytes(event) } else { 0 }
}

fn own_bytes(event: &Event) -> usize {
    EVENT_BYTES + event.session_id.len() + event.conversation_id.as_ref().map_or(0, String::len)
}

fn key_bytes(event: &Event) -> usize {
    KEY_BYTES + key_of(event).map(str::len).iter().sum::<usize>()
}
