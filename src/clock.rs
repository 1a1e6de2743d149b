//! The clock, passed in wherever the time matters.

use std::fmt;
use std::sync::Arc;

use chrono::{
    DateTime, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, TimeDelta, TimeZone, Timelike, Utc,
};
use chrono_tz::Tz;

/// A source of the current time, which tests can control.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>);

impl Clock {
    /// Returns the clock of the system.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn system() -> Self {
        Self::new(Utc::now)
    }

    /// Creates a clock that calls `now`.
    pub fn new(now: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Returns the current time.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Formats a time in RFC 3339: UTC, microseconds and a numeric offset, which every Python 3 and JavaScript
/// can parse, such as `2024-01-15T10:30:00.000000+00:00`.
#[must_use]
pub fn timestamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, false)
}

/// Parses a time in RFC 3339. A leap second is folded into the second before it, because Postgres would move it into the next
/// day, and SQLite would keep it as it is.
#[must_use]
pub fn parse_timestamp(text: &str) -> Option<DateTime<Utc>> {
    let at = DateTime::parse_from_rfc3339(text).ok()?.to_utc();
    // In a leap second, `chrono` counts on beyond a billion nanoseconds.
    at.with_nanosecond(at.nanosecond().min(999_999_999))
}

/// Returns when a day begins in `zone`.
#[must_use]
pub fn start_of(day: NaiveDate, zone: Tz) -> DateTime<Utc> {
    first_instant(day.and_time(NaiveTime::MIN), zone)
}

/// Returns when it is `local` time in `zone`. Of an ambiguous local time the first counts; a skipped one is moved to the end of
/// the gap.
#[must_use]
pub fn first_instant(local: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    // No zone has ever skipped more than a day.
    let mut minutes = (0..=25 * 60).map(|minutes| local + TimeDelta::minutes(minutes));
    let first = minutes.find_map(|at| zone.from_local_datetime(&at).earliest());
    first.map_or_else(|| local.and_utc(), |first| first.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leap_second_is_folded_into_the_one_before() {
        for (text, expected) in [
            ("2026-06-30T23:59:60Z", "2026-06-30T23:59:59.999999+00:00"),
            ("2026-07-01T01:59:60.5+02:00", "2026-06-30T23:59:59.999999+00:00"),
            ("2026-06-30T23:59:59.25Z", "2026-06-30T23:59:59.250000+00:00"),
        ] {
            assert_eq!(timestamp(parse_timestamp(text).unwrap()), expected);
        }
        assert_eq!(parse_timestamp("2026-06-30T23:59:61Z"), None);
        assert_eq!(parse_timestamp("2026-06-30"), None);
    }

    #[test]
    fn a_day_begins_at_its_first_local_time() {
        for (day, zone, expected) in [
            ("2026-03-29", "Europe/Berlin", "2026-03-28T23:00:00.000000+00:00"),
            ("2018-11-04", "America/Sao_Paulo", "2018-11-04T03:00:00.000000+00:00"),
            ("2026-11-01", "America/Havana", "2026-11-01T04:00:00.000000+00:00"),
            ("2011-12-30", "Pacific/Apia", "2011-12-30T10:00:00.000000+00:00"),
        ] {
            assert_eq!(timestamp(start_of(day.parse().unwrap(), zone.parse().unwrap())), expected, "{zone}");
        }
    }
}
