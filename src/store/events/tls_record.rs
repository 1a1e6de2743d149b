//! Splits a large batch into statements that each fit into one TLS record.
//!
//! What it buys: a statement that spans several records takes 40 ms longer under TLS, whatever its size. Nagle's
//! algorithm, which sqlx 0.9 leaves on, holds back the last record until the server's kernel has acknowledged the one
//! before, and that acknowledgement is delayed. With one record per statement, `POST /track/batch` stores 59,575 events
//! per second (`bench/README.md`), in about ten statements per 500 events.
//!
//! It can go when sqlx sets `TCP_NODELAY` on its sockets, or accepts a socket that has it set.

use std::collections::HashSet;

use super::arrays::{array_bytes, own_columns};
use crate::event::Event;
use crate::rollup::key_of;

/// The maximum size of a statement in bytes. A TLS record holds 16,384.
const SMALL_BYTES: usize = 15_500;

/// The size of a statement without events and keys, in bytes: 26 for each of 51 arrays (its format, its length and its head).
const HEAD_BYTES: usize = 1_330;

/// The size of what an event adds to a statement beside its columns, in bytes: the position of its key, its latency and the mark of a
/// tombstone.
const EVENT_BYTES: usize = 44;

/// The same of an event whose caller named it, beside its business: it is looked up.
const NAMED_BYTES: usize = 24;

/// The size of a key in a statement without its texts, in bytes.
const KEY_BYTES: usize = 215;

/// Splits events into parts whose statements fit into one TLS record each. A single event is never split.
pub(super) fn parts(events: &[Event]) -> Vec<&[Event]> {
    // The common case: they fit even if no two events share a key.
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

/// Returns the number of bytes that an event adds to a statement with `keys`, and adds its key to them.
fn bytes_of<'e>(event: &'e Event, keys: &mut HashSet<[&'e str; 4]>) -> usize {
    own_bytes(event) + if keys.insert(key_of(event)) { key_bytes(event) } else { 0 }
}

fn own_bytes(event: &Event) -> usize {
    let columns: usize = own_columns().map(|column| array_bytes(column, event)).sum();
    let named = if event.named { NAMED_BYTES + event.business_id.len() } else { 0 };
    EVENT_BYTES + columns + named
}

fn key_bytes(event: &Event) -> usize {
    KEY_BYTES + key_of(event).map(str::len).iter().sum::<usize>()
}
