//! The state of the events in a spool, kept in memory.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::Spooled;
use crate::event::Event;
use crate::rollup::{Key, Sum, Sums};

/// The state of the events in a spool: see [`super::Spool::state`].
#[derive(Debug, Default)]
pub struct State {
    depth: u64,
    refused: u64,
    replayed: u64,
    last_seq: i64,
    oldest: Option<DateTime<Utc>>,
    totals: BTreeMap<Key, Sums>,
}

impl State {
    /// Returns the number of events.
    #[must_use]
    pub const fn depth(&self) -> u64 {
        self.depth
    }

    /// Returns the number of events that the store refused.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Returns whether there are events that the store may accept.
    #[must_use]
    pub const fn has_pending(&self) -> bool {
        self.depth > self.refused
    }

    /// Returns when the oldest event was received.
    #[must_use]
    pub const fn oldest(&self) -> Option<DateTime<Utc>> {
        self.oldest
    }

    /// Returns the number of events replayed to the store since the start.
    #[must_use]
    pub const fn replayed(&self) -> u64 {
        self.replayed
    }

    /// Returns the sums of the events.
    #[must_use]
    pub const fn totals(&self) -> &BTreeMap<Key, Sums> {
        &self.totals
    }

    /// Returns the highest sequence number so far.
    #[must_use]
    pub const fn last_seq(&self) -> i64 {
        self.last_seq
    }

    /// Returns the sequence number of the next event.
    pub(super) const fn next_seq(&self) -> i64 {
        self.last_seq + 1
    }

    pub(super) fn add(&mut self, seq: i64, event: &Event) {
        self.depth += 1;
        self.last_seq = self.last_seq.max(seq);
        self.oldest = self.oldest.or(Some(event.at));
        self.totals.entry(Key::of(event)).or_default().add(&Sums::of(event));
    }

    pub(super) fn remove(&mut self, stored: &[Spooled], oldest: Option<DateTime<Utc>>) {
        self.replayed += stored.len() as u64;
        self.subtract(stored, oldest);
    }

    /// Removes events that the store refused.
    pub(super) fn discard(&mut self, refused: &[Spooled], oldest: Option<DateTime<Utc>>) {
        self.refused = self.refused.saturating_sub(refused.len() as u64);
        self.subtract(refused, oldest);
    }

    fn subtract(&mut self, removed: &[Spooled], oldest: Option<DateTime<Utc>>) {
        self.depth = self.depth.saturating_sub(removed.len() as u64);
        self.oldest = oldest;
        for Spooled { event, .. } in removed {
            if let Some(sums) = self.totals.get_mut(&Key::of(event)) {
                sums.subtract(&Sums::of(event));
            }
        }
        self.totals.retain(|_, sums| sums[Sum::Events] > 0);
    }

    /// Replaces the state by one loaded from the file.
    pub(super) fn replace(&mut self, loaded: Self) {
        let replayed = self.replayed;
        *self = Self { replayed, ..loaded };
    }

    pub(super) const fn mark_refused(&mut self) {
        self.refused += 1;
    }
}
