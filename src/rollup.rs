//! Rollups: the sums and counts of a set of events, which identify nobody. To add a sum, see [`Sum`].

mod bucket;
mod key;
mod latencies;
mod sums;

pub use bucket::{HISTOGRAM, bucket_latency, histogram_bucket, latency_bucket};
pub use key::{Key, key_of};
pub use latencies::Latencies;
pub use sums::{LastSuccess, Sum, Sums, newest};

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;

use crate::business::Profiles;
use crate::event::Event;

/// The response type of an event in which the AI failed.
pub const ERROR_RESPONSE: &str = "error";

/// Returns the calendar day of `at` in `zone`.
#[must_use]
pub fn day_of(at: DateTime<Utc>, zone: Tz) -> NaiveDate {
    at.with_timezone(&zone).date_naive()
}

/// The rollup of a set of events, in the shape of the three rollup tables.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rollup {
    /// Rows of `ai_rollup_daily`.
    pub daily: BTreeMap<(NaiveDate, Key), Sums>,
    /// Rows of `ai_latency_daily`: events by day, business and [`latency_bucket`].
    pub latency: BTreeMap<(NaiveDate, String, i16), i64>,
}

impl Rollup {
    /// Creates the rollup of `events`, with days in the time zones of their businesses.
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Event>, profiles: &Profiles) -> Self {
        let mut sorted: Vec<_> = events
            .into_iter()
            .map(|event| (profiles.day(&event.business_id, event.at), key_of(event), event))
            .collect();
        sorted.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
        let mut rollup = Self::default();
        for group in sorted.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            rollup.add_group(group[0].0, group.iter().map(|(.., event)| *event));
        }
        rollup
    }

    /// Adds events that share a day and a key.
    fn add_group<'a>(&mut self, day: NaiveDate, events: impl Iterator<Item = &'a Event> + Clone) {
        let Some(first) = events.clone().next() else { return };
        let sums = self.daily.entry((day, Key::of(first))).or_default();
        for event in events {
            sums.add(&Sums::of(event));
            let bucket = latency_bucket(event.response_time_ms);
            *self.latency.entry((day, event.business_id.clone(), bucket)).or_default() += 1;
        }
    }

    /// Adds `other` to this rollup.
    pub fn add(&mut self, other: Self) {
        if self.daily.is_empty() {
            *self = other;
            return;
        }
        for (key, sums) in other.daily {
            self.daily.entry(key).or_default().add(&sums);
        }
        for (key, events) in other.latency {
            *self.latency.entry(key).or_default() += events;
        }
    }

    /// Returns the rows of `ai_totals`: the sums over all days.
    #[must_use]
    pub fn totals(&self) -> BTreeMap<&Key, Sums> {
        let mut totals: BTreeMap<&Key, Sums> = BTreeMap::new();
        for ((_, key), sums) in &self.daily {
            totals.entry(key).or_default().add(sums);
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_is_that_of_the_time_zone() {
        let at = DateTime::parse_from_rfc3339("2026-01-01T02:00:00Z").unwrap().to_utc();
        assert_eq!(day_of(at, Tz::UTC).to_string(), "2026-01-01");
        assert_eq!(day_of(at, Tz::America__New_York).to_string(), "2025-12-31");
    }
}
