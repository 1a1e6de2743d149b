//! The due date of a request: a calendar day, one month after its receipt, or three if it was extended (Art. 12 (3) GDPR).
//!
//! A period of months ends with the last hour of the day that has the number of the day of receipt, or of the last day of a
//! month that has no such day (Regulation 1182/71, Art. 3). Weekends and holidays do not postpone it here.

use chrono::{DateTime, Days, Months, TimeDelta, Utc};
use chrono_tz::Tz;

use crate::clock::start_of;
use crate::rollup::day_of;

/// Returns the last microsecond of the day, in `zone`, one month after a request was received at `at`.
#[must_use]
pub fn a_month_after(at: DateTime<Utc>, zone: Tz) -> DateTime<Utc> {
    end_after(at, Months::new(1), zone)
}

/// The same for an extended request: three months after it was received.
#[must_use]
pub fn three_months_after(at: DateTime<Utc>, zone: Tz) -> DateTime<Utc> {
    end_after(at, Months::new(3), zone)
}

fn end_after(at: DateTime<Utc>, months: Months, zone: Tz) -> DateTime<Utc> {
    let next = day_of(at, zone).checked_add_months(months).and_then(|due| due.checked_add_days(Days::new(1)));
    // The last microsecond, not the first one after it, so that the time is of the day that is due.
    next.map_or(DateTime::<Utc>::MAX_UTC, |next| start_of(next, zone) - TimeDelta::microseconds(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::timestamp;

    /// The day on which a request is due, and when that is over.
    fn due(at: &str, zone: &str) -> (String, String) {
        let zone: Tz = zone.parse().unwrap();
        let due = a_month_after(at.parse().unwrap(), zone);
        (day_of(due, zone).to_string(), timestamp(due + TimeDelta::microseconds(1)))
    }

    #[track_caller]
    fn assert_due(at: &str, zone: &str, day: &str, over: &str) {
        assert_eq!(due(at, zone), (day.to_owned(), format!("{over}.000000+00:00")), "{at} in {zone}");
    }

    #[test]
    fn a_request_is_due_on_the_same_day_of_the_next_month_or_on_its_last() {
        for (at, day, over) in [
            ("2026-01-15T00:00:00Z", "2026-02-15", "2026-02-16T00:00:00"),
            ("2026-01-15T23:59:59Z", "2026-02-15", "2026-02-16T00:00:00"),
            ("2026-01-31T10:00:00Z", "2026-02-28", "2026-03-01T00:00:00"),
            ("2028-01-31T10:00:00Z", "2028-02-29", "2028-03-01T00:00:00"),
            ("2026-12-31T23:59:59Z", "2027-01-31", "2027-02-01T00:00:00"),
        ] {
            assert_due(at, "UTC", day, over);
        }
    }

    #[test]
    fn the_day_is_that_of_the_time_zone() {
        let berlin = "Europe/Berlin";
        assert_due("2026-01-30T23:00:00Z", berlin, "2026-02-28", "2026-02-28T23:00:00");
        assert_due("2026-01-31T22:59:59Z", berlin, "2026-02-28", "2026-02-28T23:00:00");
        assert_due("2026-01-31T23:30:00Z", berlin, "2026-03-01", "2026-03-01T23:00:00");
        assert_due("2026-03-15T10:00:00Z", berlin, "2026-04-15", "2026-04-15T22:00:00");
        assert_due("2026-01-15T03:00:00Z", "America/New_York", "2026-02-14", "2026-02-15T05:00:00");
    }

    #[test]
    fn a_day_on_which_the_clock_changes_is_due_as_a_whole() {
        // 23 and 25 hours.
        assert_due("2026-02-28T23:30:00Z", "Europe/Berlin", "2026-04-01", "2026-04-01T22:00:00");
        assert_due("2027-02-28T10:00:00Z", "Europe/Berlin", "2027-03-28", "2027-03-28T22:00:00");
        assert_due("2026-09-25T10:00:00Z", "Europe/Berlin", "2026-10-25", "2026-10-25T23:00:00");
        // The next day begins at one o'clock, and the one in Havana has its first hour twice.
        assert_due("2018-10-03T12:00:00Z", "America/Sao_Paulo", "2018-11-03", "2018-11-04T03:00:00");
        assert_due("2026-09-30T16:00:00Z", "America/Havana", "2026-10-30", "2026-10-31T04:00:00");
        assert_due("2026-10-01T16:00:00Z", "America/Havana", "2026-11-01", "2026-11-02T05:00:00");
    }

    #[test]
    fn an_extended_request_is_due_three_months_after_its_receipt() {
        let due = |at: &str| timestamp(three_months_after(at.parse().unwrap(), Tz::Europe__Berlin));
        assert_eq!(due("2026-01-31T10:00:00Z"), "2026-04-30T21:59:59.999999+00:00");
        assert_eq!(due("2026-11-30T10:00:00Z"), "2027-02-28T22:59:59.999999+00:00");
    }
}
