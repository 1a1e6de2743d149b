//! Verification of the hash chain.
//!
//! The chain reveals that an entry was changed, removed or moved as long as later entries remain. It reveals
//! neither that the newest entries were removed nor that someone with write access rewrote it from some entry
//! on; comparing it with a head recorded elsewhere does.

use std::fmt;

use serde::Deserialize;

use super::Action;
use super::chain::{Head, StoredEntry};

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Its content does not match its hash.
    Changed,
    /// It is missing, though later entries exist.
    Missing,
    /// It does not contain the hash of the entry before it: one of the two was inserted later.
    OutOfOrder,
    /// It is missing, though its hash was recorded.
    CutOff,
    /// Its hash differs from the recorded one.
    Rewritten,
    /// It was purged, so that it cannot be compared with the recorded hash.
    Purged,
}

impl Fault {
    /// Returns the name of the fault.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Missing => "missing",
            Self::OutOfOrder => "out of order",
            Self::CutOff => "cut off",
            Self::Rewritten => "rewritten",
            Self::Purged => "purged",
        }
    }

    /// Returns what the fault means.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Changed => "its content does not match its hash",
            Self::Missing => "later entries exist, and no audit.purged entry accounts for it",
            Self::OutOfOrder => "it does not link to the entry before it: one of the two was inserted later",
            Self::CutOff => "the trail ends before the recorded head: entries were removed from its end",
            Self::Rewritten => "its hash differs from the recorded head: the trail was rewritten",
            Self::Purged => "the recorded head has been purged and cannot be compared; record a newer one",
        }
    }
}

/// The first broken entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken {
    /// Its position.
    pub seq: i64,
    /// What is wrong with it.
    pub fault: Fault,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {} is {}: {}", self.seq, self.fault.name(), self.fault.meaning())
    }
}

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// How many entries were checked.
    pub entries: u64,
    /// The last intact one of them.
    pub head: Head,
    /// The first broken one.
    pub broken: Option<Broken>,
    /// Whether all entries were checked, rather than as many as the time limit allowed.
    pub complete: bool,
}

impl Verification {
    /// Returns whether every entry was checked and none is broken.
    #[must_use]
    pub const fn is_intact(&self) -> bool {
        self.complete && self.broken.is_none()
    }
}

/// Checks entries one by one, in order, in constant memory.
#[derive(Debug)]
pub struct Verifier {
    /// The head of the entries checked so far.
    last: Head,
    entries: u64,
    /// The head of the purged entries, if the chain starts after purged ones that no entry has accounted for
    /// yet.
    unanchored: Option<Head>,
    recorded: Option<Head>,
    broken: Option<Broken>,
}

/// The details of an `audit.purged` entry.
#[derive(Deserialize)]
struct Anchor {
    last_seq: i64,
    last_hash: String,
}

impl Verifier {
    /// Creates a verifier. `recorded` is a head that the chain once had.
    #[must_use]
    pub const fn new(recorded: Option<Head>) -> Self {
        Self { last: Head::NONE, entries: 0, unanchored: None, recorded, broken: None }
    }

    /// Checks the next entry. Returns whether the chain is intact so far.
    pub fn check(&mut self, entry: &StoredEntry) -> bool {
        self.entries += 1;
        if let Err((seq, fault)) = self.verify_entry(entry) {
            self.broken.get_or_insert(Broken { seq, fault });
        }
        self.broken.is_none()
    }

    /// Records that the entry at `seq` cannot be read, which ends the verification. Returns `false`.
    pub fn fail_unreadable(&mut self, seq: i64) -> bool {
        self.entries += 1;
        let is_next = self.entries == 1 || seq == self.last.seq + 1;
        let (seq, fault) = if is_next { (seq, Fault::Changed) } else { (self.last.seq + 1, Fault::Missing) };
        self.broken.get_or_insert(Broken { seq, fault });
        false
    }

    fn verify_entry(&mut self, entry: &StoredEntry) -> Result<(), (i64, Fault)> {
        if self.entries == 1 && entry.seq > 1 {
            // A later entry must account for those before it.
            let previous = entry.previous.as_slice().try_into();
            let hash = previous.map_err(|_: std::array::TryFromSliceError| (entry.seq, Fault::Changed))?;
            self.last = Head { seq: entry.seq - 1, hash };
            self.unanchored = Some(self.last);
            self.compare_recorded(self.last)?;
        }
        let head = entry.head().ok_or((entry.seq, Fault::Changed))?;
        if entry.seq != self.last.seq + 1 {
            return Err((self.last.seq + 1, Fault::Missing));
        }
        if entry.previous != self.last.hash {
            return Err((entry.seq, Fault::OutOfOrder));
        }
        if entry.digest() != head.hash {
            return Err((entry.seq, Fault::Changed));
        }
        self.compare_recorded(head)?;
        if self.unanchored.is_some_and(|purged| anchors(entry, purged)) {
            self.unanchored = None;
        }
        self.last = head;
        Ok(())
    }

    /// Compares `head`, the next one of the chain, with the recorded one.
    fn compare_recorded(&mut self, head: Head) -> Result<(), (i64, Fault)> {
        let Some(recorded) = self.recorded.filter(|recorded| recorded.seq <= head.seq) else { return Ok(()) };
        self.recorded = None;
        match recorded {
            _ if recorded.seq < head.seq && recorded.seq > 0 => Err((recorded.seq, Fault::Purged)),
            _ if recorded.seq == head.seq && recorded.hash != head.hash => {
                Err((recorded.seq, Fault::Rewritten))
            }
            _ => Ok(()),
        }
    }

    /// Returns the result. `complete` is whether there were no more entries.
    #[must_use]
    pub fn finish(mut self, complete: bool) -> Verification {
        if complete && self.broken.is_none() {
            let missing = self.unanchored.map(|purged| Broken { seq: purged.seq, fault: Fault::Missing });
            let cut = self.recorded.filter(|recorded| recorded.seq > self.last.seq);
            self.broken = missing.or(cut.map(|_| Broken { seq: self.last.seq + 1, fault: Fault::CutOff }));
        }
        Verification { entries: self.entries, head: self.last, broken: self.broken, complete }
    }
}

/// Returns whether `entry` records that the chain was purged up to `purged`.
fn anchors(entry: &StoredEntry, purged: Head) -> bool {
    let anchor =
        serde_json::from_str(&entry.details).ok().filter(|_| entry.action == Action::AuditPurged.name());
    anchor.is_some_and(|anchor: Anchor| {
        anchor.last_seq == purged.seq && anchor.last_hash == hex::encode(purged.hash)
    })
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::audit::Actor;

    fn chain(length: usize) -> Vec<StoredEntry> {
        let mut entries: Vec<StoredEntry> = Vec::new();
        for rows in 0..length {
            add(&mut entries, &Actor::service().entry(Action::RetentionRun).with("rows", rows));
        }
        entries
    }

    fn add(entries: &mut Vec<StoredEntry>, entry: &crate::audit::Entry) {
        let head = entries.last().and_then(StoredEntry::head).unwrap_or(Head::NONE);
        entries.push(StoredEntry::after(head, DateTime::UNIX_EPOCH, entry));
    }

    fn verify(entries: &[StoredEntry], recorded: Option<Head>) -> Option<(i64, Fault)> {
        let mut verifier = Verifier::new(recorded);
        let _all = entries.iter().all(|entry| verifier.check(entry));
        verifier.finish(true).broken.map(|broken| (broken.seq, broken.fault))
    }

    /// Verifies a chain of five entries after `change`.
    fn changed(change: impl FnOnce(&mut Vec<StoredEntry>)) -> Option<(i64, Fault)> {
        let mut entries = chain(5);
        change(&mut entries);
        verify(&entries, None)
    }

    #[test]
    fn an_untouched_chain_is_intact() {
        for length in [0, 1, 5] {
            let entries = chain(length);
            let mut verifier = Verifier::new(None);
            assert!(entries.iter().all(|entry| verifier.check(entry)));
            let found = verifier.finish(true);
            assert!(found.is_intact());
            assert_eq!(found.entries, length as u64);
            assert_eq!(found.head, entries.last().and_then(StoredEntry::head).unwrap_or(Head::NONE));
        }
    }

    #[test]
    fn the_first_broken_entry_is_named() {
        assert_eq!(changed(|all| all[2].details = "{}".to_owned()), Some((3, Fault::Changed)));
        assert_eq!(changed(|all| all[2].hash = vec![1]), Some((3, Fault::Changed)));
        assert_eq!(changed(|all| drop(all.remove(2))), Some((3, Fault::Missing)));
        assert_eq!(changed(|all| drop(all.remove(0))), Some((1, Fault::Missing)));
        assert_eq!(changed(|all| all[2].previous = vec![0; 32]), Some((3, Fault::OutOfOrder)));
    }

    #[test]
    fn a_rewritten_entry_does_not_link_to_later_ones() {
        let rewritten = |all: &mut Vec<StoredEntry>| {
            all[2].details = "{}".to_owned();
            all[2].hash = all[2].digest().to_vec();
        };
        assert_eq!(changed(rewritten), Some((4, Fault::OutOfOrder)));
        let swapped = |all: &mut Vec<StoredEntry>| {
            all.swap(2, 3);
            (all[2].seq, all[3].seq) = (3, 4);
        };
        assert_eq!(changed(swapped), Some((3, Fault::OutOfOrder)));
    }

    #[test]
    fn a_purged_beginning_needs_an_entry_that_accounts_for_it() {
        let purge = |entries: &mut Vec<StoredEntry>, upto: usize, last_seq: i64, hash: &[u8]| {
            let anchor = Actor::service().entry(Action::AuditPurged).with("last_seq", last_seq);
            add(entries, &anchor.with("last_hash", hex::encode(hash)));
            entries.drain(..upto);
        };
        let hash = chain(3)[2].hash.clone();
        for (upto, last_seq, hash, expected) in [
            (3, 3, hash.as_slice(), None),
            (4, 3, &hash, Some((4, Fault::Missing))),
            (3, 3, &[1; 32], Some((3, Fault::Missing))),
            (2, 3, &hash, Some((2, Fault::Missing))),
        ] {
            let mut entries = chain(5);
            purge(&mut entries, upto, last_seq, hash);
            assert_eq!(verify(&entries, None), expected, "{upto}");
        }
        let mut all_but_the_anchor = chain(3);
        purge(&mut all_but_the_anchor, 3, 3, &hash);
        assert_eq!(verify(&all_but_the_anchor, None), None);
        let recorded = |seq, hash: &[u8]| Some(Head { seq, hash: hash.try_into().unwrap() });
        assert_eq!(
            verify(&all_but_the_anchor, recorded(3, &hash)),
            None,
            "the last purged one can be compared"
        );
        assert_eq!(verify(&all_but_the_anchor, recorded(3, &[1; 32])), Some((3, Fault::Rewritten)));
        assert_eq!(verify(&all_but_the_anchor, recorded(2, &hash)), Some((2, Fault::Purged)));
    }

    #[test]
    fn a_recorded_head_reveals_truncation_and_rewriting() {
        let (entries, other) = (chain(5), chain(4));
        let recorded = entries[4].head();
        assert_eq!(verify(&entries, recorded), None);
        assert_eq!(verify(&entries[..3], None), None, "a removed end is not detected");
        assert_eq!(verify(&entries[..3], recorded), Some((4, Fault::CutOff)));
        assert_eq!(verify(&[], recorded), Some((1, Fault::CutOff)));
        let mut rewritten_chain = other;
        add(&mut rewritten_chain, &Actor::command_line().entry(Action::KeyRevoked));
        assert_eq!(verify(&rewritten_chain, None), None);
        assert_eq!(verify(&rewritten_chain, recorded), Some((5, Fault::Rewritten)));
        assert_eq!(verify(&entries, Some(Head::NONE)), None);
    }

    #[test]
    fn an_unreadable_entry_counts_as_changed() {
        let entries = chain(2);
        let mut verifier = Verifier::new(None);
        assert!(verifier.check(&entries[0]));
        assert!(!verifier.fail_unreadable(2));
        assert_eq!(verifier.finish(true).broken, Some(Broken { seq: 2, fault: Fault::Changed }));
    }
}
