//! The due date of a request: one month after its receipt (Art. 12 (3) GDPR).

use chrono::{DateTime, Months, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// Returns the same local time on the same day of the next month in `zone`, or on the last day of that month
/// if it is shorter.
#[must_use]
pub fn a_month_after(at: DateTime<Utc>, zone: Tz) -> DateTime<Utc> {
    let local = at.with_timezone(&zone).naive_local();
    let later = local.checked_add_months(Months::new(1)).unwrap_or(local);
    // A local time skipped by the clock change is moved one hour later.
    let due = zone.from_local_datetime(&later).earliest();
    let due = due.or_else(|| zone.from_local_datetime(&(later + TimeDelta::hours(1))).earliest());
    due.map_or(at + TimeDelta::days(28), |due| due.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(at: &str, zone: Tz) -> String {
        a_month_after(at.parse().unwrap(), zone).to_rfc3339()
    }

    #[test]
    fn a_request_is_due_on_the_same_day_of_the_next_month_or_on_its_last() {
        for (at, expected) in [
            ("2026-01-15T10:00:00Z", "2026-02-15T10:00:00+00:00"),
            ("2026-01-31T10:00:00Z", "2026-02-28T10:00:00+00:00"),
            ("2028-01-31T10:00:00Z", "2028-02-29T10:00:00+00:00"),
            ("2026-12-31T23:59:59Z", "2027-01-31T23:59:59+00:00"),
        ] {
            assert_eq!(due(at, Tz::UTC), expected);
        }
    }

    #[test]
    fn the_day_is_that_of_the_time_zone() {
        let berlin = Tz::Europe__Berlin;
        assert_eq!(
            due("2026-01-31T23:30:00Z", berlin),
            "2026-02-28T23:30:00+00:00",
            "the first of March there"
        );
        assert_eq!(due("2026-03-15T10:00:00Z", berlin), "2026-04-15T09:00:00+00:00", "summer time began");
        assert_eq!(due("2026-02-28T01:30:00Z", berlin), "2026-03-28T01:30:00+00:00");
        assert_eq!(due("2026-02-28T23:30:00+00:00", berlin), "2026-03-31T22:30:00+00:00");
    }

    #[test]
    fn a_skipped_local_time_is_moved_one_hour_later() {
        assert_eq!(due("2025-02-28T01:30:00Z", Tz::Europe__Berlin), "2025-03-28T01:30:00+00:00");
        assert_eq!(due("2026-03-01T01:30:00Z", Tz::Europe__Berlin), "2026-04-01T00:30:00+00:00");
        // 2027-03-28 at 02:30 does not exist in Berlin.
        assert_eq!(due("2027-02-28T01:30:00Z", Tz::Europe__Berlin), "2027-03-28T01:30:00+00:00");
    }
}
