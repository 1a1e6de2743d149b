//! Purges of the oldest entries, and what proves that these were old enough.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::chain::{Head, StoredEntry};
use crate::clock::timestamp;

/// The least time for which entries are kept, whatever is set.
const MIN_RETENTION: TimeDelta = TimeDelta::days(30);

/// How far the clocks of replicas, and those of the database, may differ.
const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(5);

/// A purge of the oldest entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purge {
    /// When it was.
    pub at: DateTime<Utc>,
    /// How many entries were removed.
    pub rows: u64,
    /// The sequence number of the last of them.
    pub last_seq: i64,
    /// Its time.
    pub last_at: DateTime<Utc>,
}

impl Purge {
    /// Returns the purge that `entry` tells of and the head of the purged entries, if it proves that the last of them was older than
    /// `retention`, and it was not made after `now`.
    pub(super) fn proven(
        entry: &StoredEntry,
        retention: Option<TimeDelta>,
        now: DateTime<Utc>,
    ) -> Option<(Self, Head)> {
        let Anchor { rows, last_seq, last_hash, last } = serde_json::from_str(&entry.details).ok()?;
        let last = last.entry(last_seq)?;
        let (last_at, hash) = (last.at, last.digest());
        let kept = retention.unwrap_or(MIN_RETENTION).max(MIN_RETENTION);
        let is_old = entry.at.checked_sub_signed(kept).is_some_and(|before| last_at < before);
        let is_past = entry.at <= now + CLOCK_SKEW;
        (hex::encode(hash) == last_hash && is_old && is_past).then_some(())?;
        Some((Self { at: entry.at, rows, last_seq, last_at }, Head { seq: last_seq, hash }))
    }
}

/// The details of an `audit.purged` entry.
#[derive(Deserialize)]
struct Anchor {
    rows: u64,
    last_seq: i64,
    last_hash: String,
    last: LastPurged,
}

/// The last purged entry, whose hash proves that it was as it says.
#[derive(Debug, Serialize, Deserialize)]
pub struct LastPurged {
    at: String,
    actor: String,
    action: String,
    request_id: Option<String>,
    subject: Option<String>,
    details: String,
    previous: String,
}

impl LastPurged {
    /// Returns the content of `entry`.
    #[must_use]
    pub fn of(entry: &StoredEntry) -> Self {
        Self {
            at: timestamp(entry.at),
            actor: entry.actor.clone(),
            action: entry.action.clone(),
            request_id: entry.request_id.clone(),
            subject: entry.subject.as_ref().map(hex::encode),
            details: entry.details.clone(),
            previous: hex::encode(&entry.previous),
        }
    }

    /// Returns it as the entry with the sequence number `seq`, without a hash; `None` if it cannot be one.
    fn entry(self, seq: i64) -> Option<StoredEntry> {
        let Self { at, actor, action, request_id, subject, details, previous } = self;
        let (subject, previous) = (subject.map(hex::decode).transpose().ok()?, hex::decode(previous).ok()?);
        let at = DateTime::parse_from_rfc3339(&at).ok()?.to_utc();
        let hash = Vec::new();
        Some(StoredEntry { seq, at, actor, action, request_id, subject, details, previous, hash })
    }
}

/// The details of a `service.started` entry that matter here.
#[derive(Deserialize)]
struct Started {
    settings: BTreeMap<String, String>,
}

/// Returns for how long entries are kept, as a `service.started` entry states it; where that is `off`, for ever.
pub(super) fn stated_retention(entry: &StoredEntry) -> Option<TimeDelta> {
    let Started { settings } = serde_json::from_str(&entry.details).ok()?;
    let days = settings.get("RETENTION_AUDIT_DAYS")?.parse().ok();
    Some(days.and_then(TimeDelta::try_days).unwrap_or(TimeDelta::MAX))
}
