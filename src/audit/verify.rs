//! Whether the entries still hang together.
//!
//! A chain shows that an entry was changed, removed or moved, as long as those after it stand. It cannot show that the
//! newest ones were cut off, nor that somebody who may write everything made it anew from some entry on: a head that was
//! noted elsewhere does.

use std::fmt;

use serde::Deserialize;

use super::Action;
use super::chain::{Head, StoredEntry};

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Its hash is not that of what it says.
    Changed,
    /// It is not there, though later ones are.
    Missing,
    /// It does not hold the hash of the entry before it: one of the two was put there later.
    OutOfOrder,
    /// It is not there, though its hash was noted.
    CutOff,
    /// It has another hash than was noted.
    Rewritten,
    /// It was purged, so nobody can tell whether it had the hash that was noted.
    Purged,
}

impl Fault {
    /// The word for it.
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

    /// What it means.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Changed => "what it says is not what was written",
            Self::Missing => "later entries are there, and no audit.purged entry accounts for it",
            Self::OutOfOrder => "it does not follow the entry before it: one of the two was put there later",
            Self::CutOff => "the trail ends before the noted head: entries at its end were removed",
            Self::Rewritten => "it has another hash than the noted head: the trail was made anew",
            Self::Purged => "the noted head was purged since then and cannot be compared; note a newer one",
        }
    }
}

/// The first entry that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken {
    /// Its place.
    pub seq: i64,
    /// What is wrong with it.
    pub fault: Fault,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {} is {}: {}", self.seq, self.fault.name(), self.fault.meaning())
    }
}

/// What is found out about a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// How many entries were looked at.
    pub entries: u64,
    /// The last one of them that is sound.
    pub head: Head,
    /// The first one that is broken.
    pub broken: Option<Broken>,
    /// Whether all were looked at, rather than as many as there was time for.
    pub complete: bool,
}

impl Verification {
    /// Whether every entry was looked at, and none is broken.
    #[must_use]
    pub const fn is_intact(&self) -> bool {
        self.complete && self.broken.is_none()
    }
}

/// Looks at entries one by one, in the order of their places. It holds as much memory for many as for few.
#[derive(Debug)]
pub struct Verifier {
    /// The entry before the next one.
    last: Head,
    entries: u64,
    /// The head that entries of the beginning were purged up to, when the chain begins behind it.
    unanchored: Option<Head>,
    noted: Option<Head>,
    broken: Option<Broken>,
}

/// What an `audit.purged` entry says.
#[derive(Deserialize)]
struct Anchor {
    last_seq: i64,
    last_hash: String,
}

impl Verifier {
    /// Begins at the first entry. `noted` is a head that the chain had once.
    #[must_use]
    pub const fn new(noted: Option<Head>) -> Self {
        Self { last: Head::NONE, entries: 0, unanchored: None, noted, broken: None }
    }

    /// Looks at the next entry; says whether to go on.
    pub fn look_at(&mut self, entry: &StoredEntry) -> bool {
        self.entries += 1;
        if let Err((seq, fault)) = self.judge(entry) {
            self.broken.get_or_insert(Broken { seq, fault });
        }
        self.broken.is_none()
    }

    /// Notes that the entry at `seq` cannot even be read; there is no going on.
    pub fn cannot_read(&mut self, seq: i64) -> bool {
        self.entries += 1;
        let is_next = self.entries == 1 || seq == self.last.seq + 1;
        let (seq, fault) = if is_next { (seq, Fault::Changed) } else { (self.last.seq + 1, Fault::Missing) };
        self.broken.get_or_insert(Broken { seq, fault });
        false
    }

    fn judge(&mut self, entry: &StoredEntry) -> Result<(), (i64, Fault)> {
        if self.entries == 1 && entry.seq > 1 {
            // An entry that comes later must account for those before it.
            let previous = entry.previous.as_slice().try_into();
            let hash = previous.map_err(|_: std::array::TryFromSliceError| (entry.seq, Fault::Changed))?;
            self.last = Head { seq: entry.seq - 1, hash };
            self.unanchored = Some(self.last);
            self.compare_noted(self.last)?;
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
        self.compare_noted(head)?;
        if self.unanchored.is_some_and(|purged| anchors(entry, purged)) {
            self.unanchored = None;
        }
        self.last = head;
        Ok(())
    }

    /// Compares `head`, the next one of the chain, with the one that was noted.
    fn compare_noted(&mut self, head: Head) -> Result<(), (i64, Fault)> {
        let Some(noted) = self.noted.filter(|noted| noted.seq <= head.seq) else { return Ok(()) };
        self.noted = None;
        match noted {
            _ if noted.seq < head.seq && noted.seq > 0 => Err((noted.seq, Fault::Purged)),
            _ if noted.seq == head.seq && noted.hash != head.hash => Err((noted.seq, Fault::Rewritten)),
            _ => Ok(()),
        }
    }

    /// What was found out. `complete` tells whether there were no more entries.
    #[must_use]
    pub fn finish(mut self, complete: bool) -> Verification {
        if complete && self.broken.is_none() {
            let missing = self.unanchored.map(|purged| Broken { seq: purged.seq, fault: Fault::Missing });
            let cut = self.noted.filter(|noted| noted.seq > self.last.seq);
            self.broken = missing.or(cut.map(|_| Broken { seq: self.last.seq + 1, fault: Fault::CutOff }));
        }
        Verification { entries: self.entries, head: self.last, broken: self.broken, complete }
    }
}

/// Whether `entry` says that the chain was purged up to `purged`.
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
    use crate::audit::By;

    fn chain(length: usize) -> Vec<StoredEntry> {
        let mut entries: Vec<StoredEntry> = Vec::new();
        for rows in 0..length {
            add(&mut entries, &By::service().did(Action::RetentionRun).with("rows", rows));
        }
        entries
    }

    fn add(entries: &mut Vec<StoredEntry>, entry: &crate::audit::Entry) {
        let head = entries.last().and_then(StoredEntry::head).unwrap_or(Head::NONE);
        entries.push(StoredEntry::after(head, DateTime::UNIX_EPOCH, entry));
    }

    fn verify(entries: &[StoredEntry], noted: Option<Head>) -> Option<(i64, Fault)> {
        let mut verifier = Verifier::new(noted);
        let _all = entries.iter().all(|entry| verifier.look_at(entry));
        verifier.finish(true).broken.map(|broken| (broken.seq, broken.fault))
    }

    /// The chain of five, after `change`.
    fn changed(change: impl FnOnce(&mut Vec<StoredEntry>)) -> Option<(i64, Fault)> {
        let mut entries = chain(5);
        change(&mut entries);
        verify(&entries, None)
    }

    #[test]
    fn a_chain_that_nobody_touched_is_intact() {
        for length in [0, 1, 5] {
            let entries = chain(length);
            let mut verifier = Verifier::new(None);
            assert!(entries.iter().all(|entry| verifier.look_at(entry)));
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
    fn an_entry_that_was_written_anew_does_not_fit_those_after_it() {
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
            let anchor = By::service().did(Action::AuditPurged).with("last_seq", last_seq);
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
        let noted = |seq, hash: &[u8]| Some(Head { seq, hash: hash.try_into().unwrap() });
        assert_eq!(verify(&all_but_the_anchor, noted(3, &hash)), None, "the last purged one can be compared");
        assert_eq!(verify(&all_but_the_anchor, noted(3, &[1; 32])), Some((3, Fault::Rewritten)));
        assert_eq!(verify(&all_but_the_anchor, noted(2, &hash)), Some((2, Fault::Purged)));
    }

    #[test]
    fn a_noted_head_shows_what_the_chain_alone_cannot() {
        let (entries, other) = (chain(5), chain(4));
        let noted = entries[4].head();
        assert_eq!(verify(&entries, noted), None);
        assert_eq!(verify(&entries[..3], None), None, "that the end is gone does not show");
        assert_eq!(verify(&entries[..3], noted), Some((4, Fault::CutOff)));
        assert_eq!(verify(&[], noted), Some((1, Fault::CutOff)));
        let mut anew = other;
        add(&mut anew, &By::command_line().did(Action::KeyRevoked));
        assert_eq!(verify(&anew, None), None);
        assert_eq!(verify(&anew, noted), Some((5, Fault::Rewritten)));
        assert_eq!(verify(&entries, Some(Head::NONE)), None);
    }

    #[test]
    fn what_cannot_be_read_is_changed() {
        let entries = chain(2);
        let mut verifier = Verifier::new(None);
        assert!(verifier.look_at(&entries[0]));
        assert!(!verifier.cannot_read(2));
        assert_eq!(verifier.finish(true).broken, Some(Broken { seq: 2, fault: Fault::Changed }));
    }
}
