//! What a set of events adds up to: sums and counts only, no person in it.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;

use crate::event::Event;

/// Upper bounds, in milliseconds, of the buckets of `ai_response_time_seconds`.
pub const BUCKET_BOUNDS_MS: [i32; 6] = [100, 500, 1_000, 2_000, 5_000, 10_000];

/// The response type that means the AI failed.
pub const ERROR_RESPONSE: &str = "error";

/// Relative error of a percentile that is read from latency buckets.
const LATENCY_ERROR: f64 = 0.01;

/// The latency bucket of a response time of 0 ms, which has no logarithm.
const LATENCY_ZERO: i16 = -1;

/// What sums are kept apart by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// See [`Event::business_id`].
    pub business_id: String,
    /// See [`Event::model_name`].
    pub model_name: String,
    /// See [`Event::intent_detected`].
    pub intent_detected: String,
    /// See [`Event::response_type`].
    pub response_type: String,
}

impl Key {
    /// The key that `event` is added up under.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        Self {
            business_id: event.business_id.clone(),
            model_name: event.model_name.clone(),
            intent_detected: event.intent_detected.clone(),
            response_type: event.response_type.clone(),
        }
    }

    /// Its parts, in their order.
    #[must_use]
    pub fn parts(&self) -> [&str; 4] {
        [&self.business_id, &self.model_name, &self.intent_detected, &self.response_type]
    }
}

/// The sums over the events of one [`Key`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sums {
    /// How many events.
    pub events: i64,
    /// Milliseconds.
    pub response_time_ms: i64,
    /// Events by the first of [`BUCKET_BOUNDS_MS`] that holds them; the slower ones are in none.
    pub within: [i64; BUCKET_BOUNDS_MS.len()],
    /// Ten-thousandths.
    pub success_e4: i64,
    /// Tokens of prompts and completions together.
    pub tokens: i64,
    /// Tokens of prompts, as far as they were reported.
    pub prompt_tokens: i64,
    /// Tokens of completions, as far as they were reported.
    pub completion_tokens: i64,
    /// Millionths of a US dollar.
    pub cost_micros: i64,
    /// Events that asked for an appointment.
    pub appointments_requested: i64,
    /// Events that booked one.
    pub appointments_booked: i64,
    /// Events that were handed to a person.
    pub handoffs: i64,
    /// The newest success rate that a caller sent.
    pub last_success: Option<LastSuccess>,
}

/// A success rate and when it came.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LastSuccess {
    /// Microseconds since 1970.
    pub at_micros: i64,
    /// Between 0 and 1.
    pub rate: f64,
}

impl Sums {
    /// The sums of one event.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        let mut within = [0; BUCKET_BOUNDS_MS.len()];
        if let Some(bucket) = within.get_mut(histogram_bucket(event.response_time_ms)) {
            *bucket = 1;
        }
        Self {
            events: 1,
            response_time_ms: event.response_time_ms.into(),
            within,
            success_e4: event.success_e4().into(),
            tokens: event.tokens_used.into(),
            prompt_tokens: event.prompt_tokens.unwrap_or(0).into(),
            completion_tokens: event.completion_tokens.unwrap_or(0).into(),
            cost_micros: event.cost_micros,
            appointments_requested: event.appointment_requested.into(),
            appointments_booked: event.appointment_booked.into(),
            handoffs: event.human_handoff_requested.into(),
            last_success: event
                .success_rate
                .map(|rate| LastSuccess { at_micros: event.at.timestamp_micros(), rate }),
        }
    }

    /// Adds `other` to these sums.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.response_time_ms += other.response_time_ms;
        for (mine, theirs) in self.within.iter_mut().zip(other.within) {
            *mine += theirs;
        }
        self.success_e4 += other.success_e4;
        self.tokens += other.tokens;
        self.prompt_tokens += other.prompt_tokens;
        self.completion_tokens += other.completion_tokens;
        self.cost_micros += other.cost_micros;
        self.appointments_requested += other.appointments_requested;
        self.appointments_booked += other.appointments_booked;
        self.handoffs += other.handoffs;
        self.last_success = newest(self.last_success, other.last_success);
    }

    /// Takes sums away that were added before; the newest success rate stays.
    pub fn subtract(&mut self, other: &Self) {
        self.add(&other.negated());
    }

    fn negated(&self) -> Self {
        Self {
            events: -self.events,
            response_time_ms: -self.response_time_ms,
            within: self.within.map(|events| -events),
            success_e4: -self.success_e4,
            tokens: -self.tokens,
            prompt_tokens: -self.prompt_tokens,
            completion_tokens: -self.completion_tokens,
            cost_micros: -self.cost_micros,
            appointments_requested: -self.appointments_requested,
            appointments_booked: -self.appointments_booked,
            handoffs: -self.handoffs,
            last_success: None,
        }
    }
}

/// The later of two; the second where they are equally late.
#[must_use]
pub fn newest(a: Option<LastSuccess>, b: Option<LastSuccess>) -> Option<LastSuccess> {
    [a, b].into_iter().flatten().max_by_key(|last| last.at_micros)
}

/// The index of the first of [`BUCKET_BOUNDS_MS`] that holds `ms`; their number when none does.
#[must_use]
pub fn histogram_bucket(ms: i32) -> usize {
    BUCKET_BOUNDS_MS.partition_point(|bound| *bound < ms)
}

/// The logarithmic bucket of a response time: bucket `i` holds γ^(i−1) < ms ≤ γ^i with γ = (1 + e) / (1 − e), so
/// that one value per bucket is at most e = 1 % off. This is `DDSketch`'s mapping (Masson, Rim and Lee, VLDB 2019).
#[must_use]
pub fn latency_bucket(ms: i32) -> i16 {
    if ms <= 0 {
        return LATENCY_ZERO;
    }
    let gamma = (1.0 + LATENCY_ERROR) / (1.0 - LATENCY_ERROR);
    #[expect(clippy::cast_possible_truncation, reason = "the bucket of the largest i32 is 1075")]
    let bucket = (f64::from(ms).ln() / f64::ln(gamma)).ceil() as i16;
    bucket
}

/// The calendar day of `at` in `zone`.
#[must_use]
pub fn day_of(at: DateTime<Utc>, zone: Tz) -> NaiveDate {
    at.with_timezone(&zone).date_naive()
}

/// The parts of the key that `event` is added up under, in the order of [`Key`].
#[must_use]
pub fn key_of(event: &Event) -> [&str; 4] {
    [&event.business_id, &event.model_name, &event.intent_detected, &event.response_type]
}

/// The rollup of a set of events, as the three rollup tables take it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rollup {
    /// Rows of `ai_rollup_daily`.
    pub daily: BTreeMap<(NaiveDate, Key), Sums>,
    /// Rows of `ai_latency_daily`: events by day, business and [`latency_bucket`].
    pub latency: BTreeMap<(NaiveDate, String, i16), i64>,
}

impl Rollup {
    /// Adds up `events` by their days in `zone`.
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Event>, zone: Tz) -> Self {
        let mut sorted: Vec<_> =
            events.into_iter().map(|event| (day_of(event.at, zone), key_of(event), event)).collect();
        sorted.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
        let mut rollup = Self::default();
        for group in sorted.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            rollup.add_group(group[0].0, group.iter().map(|(.., event)| *event));
        }
        rollup
    }

    /// Adds events of one day and key.
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

    /// Rows of `ai_totals`: the sums whatever the day.
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
    fn a_bound_belongs_to_its_own_histogram_bucket() {
        for (ms, bucket) in [(0, 0), (100, 0), (101, 1), (10_000, 5), (10_001, 6), (i32::MAX, 6)] {
            assert_eq!(histogram_bucket(ms), bucket, "{ms} ms");
        }
    }

    #[test]
    fn a_latency_bucket_tells_its_values_to_one_percent() {
        let gamma = (1.0 + LATENCY_ERROR) / (1.0 - LATENCY_ERROR);
        for ms in (1..100_000).chain([i32::MAX]) {
            let told = 2.0 * f64::powi(gamma, latency_bucket(ms).into()) / (gamma + 1.0);
            let error = (told - f64::from(ms)).abs() / f64::from(ms);
            assert!(error <= LATENCY_ERROR * 1.000_001, "{ms} ms told as {told}");
        }
    }

    #[test]
    fn the_day_is_the_business_own() {
        let at = DateTime::parse_from_rfc3339("2026-01-01T02:00:00Z").unwrap().to_utc();
        assert_eq!(day_of(at, Tz::UTC).to_string(), "2026-01-01");
        assert_eq!(day_of(at, Tz::America__New_York).to_string(), "2025-12-31");
    }
}
