//! What is known of the events in a spool, without reading it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::Spooled;
use crate::event::Event;
use crate::rollup::{Key, Sums};

/// See [`super::Spool::state`].
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
    /// How many events there are.
    #[must_use]
    pub const fn depth(&self) -> u64 {
        self.depth
    }

    /// How many of them the store refuses.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Whether there are events that the store may take.
    #[must_use]
    pub const fn has_pending(&self) -> bool {
        self.depth > self.refused
    }

    /// When the oldest was received.
    #[must_use]
    pub const fn oldest(&self) -> Option<DateTime<Utc>> {
        self.oldest
    }

    /// How many were removed because the store has them, since the start.
    #[must_use]
    pub const fn replayed(&self) -> u64 {
        self.replayed
    }

    /// What they add up to.
    #[must_use]
    pub const fn totals(&self) -> &BTreeMap<Key, Sums> {
        &self.totals
    }

    /// The highest number that an event has had.
    #[must_use]
    pub const fn last_seq(&self) -> i64 {
        self.last_seq
    }

    /// The number of the next event.
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
        self.take_away(stored, oldest);
    }

    /// Notes that events are removed which the store refused.
    pub(super) fn forget(&mut self, refused: &[Spooled], oldest: Option<DateTime<Utc>>) {
        self.refused = self.refused.saturating_sub(refused.len() as u64);
        self.take_away(refused, oldest);
    }

    fn take_away(&mut self, removed: &[Spooled], oldest: Option<DateTime<Utc>>) {
        self.depth = self.depth.saturating_sub(removed.len() as u64);
        self.oldest = oldest;
        for Spooled { event, .. } in removed {
            if let Some(sums) = self.totals.get_mut(&Key::of(event)) {
                sums.subtract(&Sums::of(event));
            }
        }
        self.totals.retain(|_, sums| sums.events > 0);
    }

    /// Takes what was read from the file in the place of what was known.
    pub(super) fn replace(&mut self, read: Self) {
        let replayed = self.replayed;
        *self = Self { replayed, ..read };
    }

    pub(super) const fn mark_refused(&mut self) {
        self.refused += 1;
    }
}
