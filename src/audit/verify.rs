//! Verification of the hash chain.
//!
//! The chain reveals that an entry was changed, removed or moved as long as later entries remain. It reveals
//! neither that the newest entries were removed nor that someone with write access rewrote it from some entry
//! on; comparing it with a head recorded elsewhere does.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::Action;
use super::chain::{Head, StoredEntry};
use super::purge::{self, Purge};

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
    /// It tells of a purge of entries that it does not prove to be old enough.
    PurgedEarly,
    /// It follows no entry, far beyond the end of the trail.
    Foreign,
    /// It is missing, though a key or a completed request shows that it was written.
    Unrecorded,
    /// There is no entry, though there is something that has one.
    Empty,
    /// It is the first entry, though there is something older that has one, or should have one.
    Late,
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
            Self::PurgedEarly => "purged early",
            Self::Foreign => "foreign",
            Self::Unrecorded => "unrecorded",
            Self::Empty => "empty",
            Self::Late => "late",
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
            Self::PurgedEarly => {
                "it does not prove that the entries it tells of were older than the retention that was in force"
            }
            Self::Foreign => "it follows no other entry: somebody else inserted it",
            Self::Unrecorded => {
                "a key or a completed privacy request shows that there was another: entries were removed from the end"
            }
            Self::Empty => {
                "there is no entry, though there are events, keys, consents, privacy requests or runs of retention"
            }
            Self::Late => {
                "the trail begins with it, though a key, a completed privacy request or the first start of the service shows that \
                 there were earlier ones: the trail was emptied and begun anew"
            }
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
    /// The purges that entries tell of.
    pub purges: Vec<Purge>,
}

/// What the database says must have an entry: ids of created, rotated and revoked keys, and of receipts.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// Ids of keys, each with the time of its creation.
    pub created: BTreeMap<String, DateTime<Utc>>,
    /// Ids of keys that were rotated, each with the time of its creation: that of the rotation is not kept.
    pub rotated: BTreeMap<String, DateTime<Utc>>,
    /// Ids of keys, each with the time of its revocation.
    pub revoked: BTreeMap<String, DateTime<Utc>>,
    /// Ids of receipts, each with the time at which the request was done.
    pub receipts: BTreeMap<String, DateTime<Utc>>,
    /// Whether there is anything that comes with an entry.
    pub has_data: bool,
    /// When the trail's table was created; `None` if that is not known.
    pub created_at: Option<DateTime<Utc>>,
    /// When the service first started on the database, which has an entry; `None` before it did.
    pub started_at: Option<DateTime<Utc>>,
}

impl Expected {
    /// Iterates over the times of all that no entry was found for.
    fn times(&self) -> impl Iterator<Item = DateTime<Utc>> {
        let Self { created, rotated, revoked, receipts, .. } = self;
        [created, rotated, revoked, receipts].into_iter().flat_map(BTreeMap::values).copied()
    }
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
    /// Heads that the chain once had, the newest first.
    recorded: Vec<Head>,
    broken: Option<Broken>,
    expected: Expected,
    /// The time of the first entry.
    begins: Option<DateTime<Utc>>,
    /// Whether that is the first of all, before which none was purged.
    is_whole: bool,
    /// The days for which entries are kept, as the service stated when it started last; `None` before it did.
    retention: Option<TimeDelta>,
    now: DateTime<Utc>,
    purges: Vec<Purge>,
}

/// The details of an entry about a key or a request that matter here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct About {
    key: Option<String>,
    receipt: Option<String>,
}

/// How long after the first start of the service its entry may be written, for want of the database.
const START_GAP: TimeDelta = TimeDelta::days(1);

/// How far beyond the end of the chain an entry must be to be foreign rather than one before which others are missing.
const FOREIGN_GAP: i64 = 1 << 32;

impl Verifier {
    /// Creates a verifier at the time `now`. `recorded` are heads that the chain once had, `expected` is what must have an entry.
    #[must_use]
    pub fn new(mut recorded: Vec<Head>, expected: Expected, now: DateTime<Utc>) -> Self {
        recorded.sort_unstable_by_key(|head| Reverse(head.seq));
        Self {
            last: Head::NONE,
            entries: 0,
            unanchored: None,
            recorded,
            broken: None,
            expected,
            begins: None,
            is_whole: false,
            retention: None,
            now,
            purges: Vec::new(),
        }
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
            let is_foreign = entry.seq.saturating_sub(self.last.seq) > FOREIGN_GAP;
            let missing = (self.last.seq + 1, Fault::Missing);
            return Err(if is_foreign { (entry.seq, Fault::Foreign) } else { missing });
        }
        if entry.previous != self.last.hash {
            return Err((entry.seq, Fault::OutOfOrder));
        }
        if entry.digest() != head.hash {
            return Err((entry.seq, Fault::Changed));
        }
        self.compare_recorded(head)?;
        self.begins.get_or_insert(entry.at);
        self.is_whole |= entry.seq == 1;
        self.learn(entry)?;
        self.last = head;
        Ok(())
    }

    /// Takes in what an entry says of purges, of the retention in force, and of what must have an entry.
    fn learn(&mut self, entry: &StoredEntry) -> Result<(), (i64, Fault)> {
        let is = |action: Action| entry.action == action.name();
        if is(Action::AuditPurged) {
            let purge = Purge::proven(entry, self.retention, self.now);
            let (purge, purged) = purge.ok_or((entry.seq, Fault::PurgedEarly))?;
            self.unanchored = self.unanchored.filter(|unanchored| *unanchored != purged);
            self.purges.push(purge);
        } else if is(Action::ServiceStarted) {
            self.retention = purge::stated_retention(entry).or(self.retention);
        } else {
            let about: About = serde_json::from_str(&entry.details).unwrap_or_default();
            match &about.key {
                Some(key) if is(Action::KeyCreated) => drop(self.expected.created.remove(key)),
                Some(key) if is(Action::KeyRotated) => drop(self.expected.rotated.remove(key)),
                Some(key) if is(Action::KeyRevoked) => drop(self.expected.revoked.remove(key)),
                _ => {}
            }
            if let Some(receipt) = &about.receipt {
                self.expected.receipts.remove(receipt);
            }
        }
        Ok(())
    }

    /// Compares `head`, the next one of the chain, with the recorded ones.
    fn compare_recorded(&mut self, head: Head) -> Result<(), (i64, Fault)> {
        while let Some(recorded) = self.recorded.pop_if(|recorded| recorded.seq <= head.seq) {
            let is_purged = recorded.seq < head.seq && recorded.seq > 0;
            // Of several, the older ones may have been purged by now.
            if is_purged && self.recorded.is_empty() {
                return Err((recorded.seq, Fault::Purged));
            }
            if recorded.seq == head.seq && recorded.hash != head.hash {
                return Err((recorded.seq, Fault::Rewritten));
            }
        }
        Ok(())
    }

    /// Returns the result. `complete` is whether there were no more entries.
    #[must_use]
    pub fn finish(mut self, complete: bool) -> Verification {
        if complete && self.broken.is_none() {
            let fault = |seq, fault| Broken { seq, fault };
            let missing = self.unanchored.map(|purged| fault(purged.seq, Fault::Missing));
            let is_cut = self.recorded.iter().any(|recorded| recorded.seq > self.last.seq);
            let end = match () {
                () if is_cut => Some(Fault::CutOff),
                () if self.entries == 0 && self.expected.has_data => Some(Fault::Empty),
                () if self.has_unrecorded() => Some(Fault::Unrecorded),
                () => None,
            };
            let late = self.begins_late().then_some(fault(1, Fault::Late));
            self.broken = missing.or(late).or(end.map(|end| fault(self.last.seq + 1, end)));
        }
        let Self { entries, last, broken, purges, .. } = self;
        Verification { entries, head: last, broken, complete, purges }
    }

    /// Returns whether anything of the time since the first entry has none. What is older may have been purged, or is older than the
    /// trail. Times of keys are whole seconds.
    fn has_unrecorded(&self) -> bool {
        let Some(begins) = self.begins else { return false };
        self.expected.times().any(|at| at > begins + TimeDelta::seconds(1))
    }

    /// Returns whether a trail of which nothing was purged begins after something that should have an entry.
    fn begins_late(&self) -> bool {
        let Some(begins) = self.begins.filter(|_| self.is_whole) else { return false };
        let Expected { created_at, started_at, .. } = self.expected;
        let started = started_at.is_some_and(|at| begins - at > START_GAP);
        started
            || created_at.is_some_and(|created| {
                self.expected
                    .times()
                    .any(|at| at > created + TimeDelta::seconds(1) && at < begins - TimeDelta::seconds(1))
            })
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::audit::Actor;
    use crate::audit::purge::LastPurged;

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

    /// Long after the entries of [`chain`].
    fn now() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(1_000)
    }

    fn verify(entries: &[StoredEntry], recorded: Option<Head>) -> Option<(i64, Fault)> {
        let mut verifier = Verifier::new(recorded.into_iter().collect(), Expected::default(), now());
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
            let mut verifier = Verifier::new(Vec::new(), Expected::default(), now());
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

    /// Appends an entry, written at `at`, that tells of a purge up to `last`, and removes those up to `upto`.
    fn purge(entries: &mut Vec<StoredEntry>, upto: usize, last: &StoredEntry, at: DateTime<Utc>) {
        let told = Actor::service().entry(Action::AuditPurged).with("rows", upto).with("last_seq", last.seq);
        let told = told.with("last_hash", hex::encode(last.digest()));
        let told = told.with("last", serde_json::to_value(LastPurged::of(last)).unwrap());
        let head = entries.last().and_then(StoredEntry::head).unwrap_or(Head::NONE);
        entries.push(StoredEntry::after(head, at, &told));
        entries.drain(..upto);
    }

    #[test]
    fn a_purged_beginning_needs_an_entry_that_accounts_for_it() {
        let entries = chain(5);
        let after = |days| DateTime::UNIX_EPOCH + TimeDelta::days(days);
        let purged = |upto, last: &StoredEntry, at| {
            let mut entries = entries.clone();
            purge(&mut entries, upto, last, at);
            entries
        };
        let verified = |upto, last, at| verify(&purged(upto, last, at), None);
        assert_eq!(verified(3, &entries[2], after(31)), None);
        assert_eq!(verified(4, &entries[2], after(31)), Some((4, Fault::Missing)));
        assert_eq!(verified(2, &entries[2], after(31)), Some((2, Fault::Missing)));
        assert_eq!(verified(3, &entries[2], after(30)), Some((6, Fault::PurgedEarly)), "they are too young");
        assert_eq!(verified(3, &entries[2], after(2_000)), Some((6, Fault::PurgedEarly)), "in the future");
        let forged = StoredEntry { at: after(-100), ..entries[2].clone() };
        assert_eq!(
            verified(3, &forged, after(31)),
            Some((3, Fault::Missing)),
            "another hash is another entry"
        );
        let kept = purged(3, &entries[2], after(31));
        let recorded = |seq, hash: &[u8]| Some(Head { seq, hash: hash.try_into().unwrap() });
        assert_eq!(verify(&kept, recorded(3, &entries[2].hash)), None, "the last purged one can be compared");
        assert_eq!(verify(&kept, recorded(3, &[1; 32])), Some((3, Fault::Rewritten)));
        assert_eq!(verify(&kept, recorded(2, &entries[1].hash)), Some((2, Fault::Purged)));
    }

    #[test]
    fn entries_are_kept_for_as_long_as_the_service_said() {
        let early = Some(Fault::PurgedEarly);
        for (days, expected) in [("90", None), ("730", early), ("off", early), ("99999999999999999", early)] {
            let mut entries = chain(2);
            let settings = serde_json::json!({"RETENTION_AUDIT_DAYS": days});
            add(&mut entries, &Actor::service().entry(Action::ServiceStarted).with("settings", settings));
            let last = entries[1].clone();
            purge(&mut entries, 2, &last, DateTime::UNIX_EPOCH + TimeDelta::days(100));
            assert_eq!(verify(&entries, None).map(|(_, fault)| fault), expected, "{days}");
        }
    }

    #[test]
    fn what_the_database_tells_of_must_have_an_entry() {
        let mut entries = chain(1);
        add(&mut entries, &Actor::service().entry(Action::KeyCreated).with("key", "k1"));
        let verify = |entries: &[StoredEntry], expected: &Expected| {
            let mut verifier = Verifier::new(Vec::new(), expected.clone(), now());
            assert!(entries.iter().all(|entry| verifier.check(entry)));
            verifier.finish(true).broken.map(|broken| (broken.seq, broken.fault))
        };
        let at = |key: &str, seconds| {
            BTreeMap::from([(key.to_owned(), DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds))])
        };
        let created =
            |key, seconds| Expected { created: at(key, seconds), has_data: true, ..Expected::default() };
        assert_eq!(verify(&entries, &created("k1", 9)), None);
        assert_eq!(verify(&entries, &created("k2", 9)), Some((3, Fault::Unrecorded)));
        assert_eq!(verify(&entries, &created("k2", 0)), None, "it may be older than the trail");
        let revoked = Expected { revoked: at("k1", 9), ..Expected::default() };
        assert_eq!(verify(&entries, &revoked), Some((3, Fault::Unrecorded)));
        assert_eq!(verify(&[], &created("k1", 0)), Some((1, Fault::Empty)));
    }

    #[test]
    fn a_trail_that_was_begun_anew_is_late() {
        let late = |created: i64, started: i64, key: i64| {
            let after = |hours| DateTime::UNIX_EPOCH + TimeDelta::hours(hours);
            let expected = Expected {
                created: BTreeMap::from([("k".to_owned(), after(key))]),
                created_at: Some(after(created)),
                started_at: Some(after(started)),
                ..Expected::default()
            };
            let mut verifier = Verifier::new(Vec::new(), expected, now());
            assert!(chain(1).iter().all(|entry| verifier.check(entry)));
            verifier.finish(true).broken.map(|broken| (broken.seq, broken.fault))
        };
        assert_eq!(late(-100, -10, -200), None, "the key is older than the table");
        assert_eq!(late(-100, -10, -50), Some((1, Fault::Late)));
        assert_eq!(late(-100, -30, -200), Some((1, Fault::Late)), "the service started long before");
    }

    #[test]
    fn an_entry_far_beyond_the_end_is_foreign() {
        let mut entries = chain(2);
        let far = StoredEntry { seq: i64::MAX, ..entries[1].clone() };
        entries.push(far);
        assert_eq!(verify(&entries, None), Some((i64::MAX, Fault::Foreign)));
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
        let mut verifier = Verifier::new(Vec::new(), Expected::default(), now());
        assert!(verifier.check(&entries[0]));
        assert!(!verifier.fail_unreadable(2));
        assert_eq!(verifier.finish(true).broken, Some(Broken { seq: 2, fault: Fault::Changed }));
    }
}
