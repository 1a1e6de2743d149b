//! Determines when a run is due.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;

use crate::clock::first_instant;
use crate::store::RetentionRecord;

/// How far in the future a recorded time may be, because replicas' clocks differ. A time further ahead comes
/// from a wrong clock and must not postpone runs.
const MAX_CLOCK_SKEW: TimeDelta = TimeDelta::days(1);

/// The time of day at which a run is due.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// The local time.
    pub at: NaiveTime,
    /// The time zone of `at`.
    pub zone: Tz,
}

impl Schedule {
    /// Returns when a run was last due as of `now`.
    #[must_use]
    pub fn last(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let today = now.with_timezone(&self.zone).date_naive();
        let days = (0..3).filter_map(|back| today.checked_sub_days(Days::new(back)));
        days.map(|day| self.due_on(day)).find(|due| *due <= now).unwrap_or(now)
    }

    /// Returns when the next run after `now` is due.
    #[must_use]
    pub fn next(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let today = now.with_timezone(&self.zone).date_naive();
        let days = (0..3).filter_map(|ahead| today.checked_add_days(Days::new(ahead)));
        days.map(|day| self.due_on(day)).find(|due| *due > now).unwrap_or(now + TimeDelta::days(1))
    }

    /// Returns whether a run is due at `now`: whether its time has come since the last completed run began
    /// or, if there is none, since the service first started.
    #[must_use]
    pub fn is_due(&self, now: DateTime<Utc>, record: &RetentionRecord) -> bool {
        let since = record.done_at.unwrap_or(record.waiting_since);
        since < self.last(now) || since - now > MAX_CLOCK_SKEW
    }

    /// Returns when the run of a day is due.
    fn due_on(&self, day: NaiveDate) -> DateTime<Utc> {
        first_instant(day.and_time(self.at), self.zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn daily(time: &str, zone: &str) -> Schedule {
        Schedule { at: NaiveTime::parse_from_str(time, "%H:%M").unwrap(), zone: zone.parse().unwrap() }
    }

    fn record(waiting_since: &str, done_at: Option<&str>) -> RetentionRecord {
        RetentionRecord { waiting_since: at(waiting_since), begun_at: None, done_at: done_at.map(at) }
    }

    /// Returns when runs are due between two times, if each is executed at once.
    fn runs(schedule: Schedule, from: &str, to: &str) -> Vec<String> {
        let (mut now, mut done, mut runs) = (at(from), at(from), Vec::new());
        while now < at(to) {
            let record = RetentionRecord { waiting_since: at(from), begun_at: None, done_at: Some(done) };
            if schedule.is_due(now, &record) {
                runs.push(now.format("%d %H:%M").to_string());
                done = now;
            }
            now += TimeDelta::minutes(1);
        }
        runs
    }

    #[test]
    fn a_run_is_due_at_the_same_time_of_every_day() {
        let berlin = daily("03:00", "Europe/Berlin");
        let due = runs(berlin, "2026-07-01T00:30:00Z", "2026-07-04T00:30:00Z");
        assert_eq!(due, ["01 01:00", "02 01:00", "03 01:00"]);
        assert_eq!(berlin.next(at("2026-07-01T00:59:59Z")), at("2026-07-01T01:00:00Z"));
        assert_eq!(berlin.next(at("2026-07-01T01:00:00Z")), at("2026-07-02T01:00:00Z"));
        assert_eq!(berlin.last(at("2026-07-01T00:59:59Z")), at("2026-06-30T01:00:00Z"));
        assert_eq!(berlin.last(at("2026-07-01T01:00:00Z")), at("2026-07-01T01:00:00Z"));
    }

    #[test]
    fn a_skipped_or_repeated_local_time_is_one_run() {
        let berlin = daily("02:30", "Europe/Berlin");
        let spring = runs(berlin, "2026-03-28T00:00:00Z", "2026-03-31T00:00:00Z");
        assert_eq!(spring, ["28 01:30", "29 01:00", "30 00:30"], "02:30 is skipped on the 29th");
        let autumn = runs(berlin, "2026-10-24T00:00:00Z", "2026-10-27T00:00:00Z");
        assert_eq!(autumn, ["24 00:30", "25 00:30", "26 01:30"], "02:30 occurs twice on the 25th");
        let midnight =
            runs(daily("00:00", "America/Sao_Paulo"), "2018-11-03T00:00:00Z", "2018-11-06T00:00:00Z");
        assert_eq!(midnight, ["03 03:00", "04 03:00", "05 02:00"], "the 4th began at 01:00");
    }

    #[test]
    fn a_day_that_a_zone_skipped_does_not_stop_runs() {
        let apia = runs(daily("03:00", "Pacific/Apia"), "2011-12-29T00:00:00Z", "2012-01-02T00:00:00Z");
        assert_eq!(apia, ["29 13:00", "30 10:00", "30 13:00", "31 13:00", "01 13:00"], "there was no 30th");
    }

    #[test]
    fn a_missed_run_is_due_at_once_except_before_the_first_start() {
        let utc = daily("03:00", "UTC");
        assert!(!utc.is_due(at("2026-07-01T12:00:00Z"), &record("2026-07-01T11:00:00Z", None)));
        assert!(utc.is_due(at("2026-07-02T03:00:00Z"), &record("2026-07-01T11:00:00Z", None)));
        let done = Some("2026-07-01T03:00:04Z");
        assert!(!utc.is_due(at("2026-07-02T02:59:59Z"), &record("2026-06-01T11:00:00Z", done)));
        assert!(utc.is_due(at("2026-07-09T18:00:00Z"), &record("2026-06-01T11:00:00Z", done)));
    }

    #[test]
    fn a_clock_that_was_ahead_does_not_postpone_runs() {
        let utc = daily("03:00", "UTC");
        let ahead = |done| record("2026-06-01T11:00:00Z", Some(done));
        assert!(!utc.is_due(at("2026-07-02T03:00:00Z"), &ahead("2026-07-02T03:00:09Z")), "another replica's");
        assert!(utc.is_due(at("2026-07-02T03:00:00Z"), &ahead("2027-07-02T03:00:00Z")));
    }
}
