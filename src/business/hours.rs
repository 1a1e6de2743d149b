//! Opening hours: one interval for each weekday, which may pass midnight.

use chrono::{Datelike, NaiveDateTime, Timelike, Weekday};

/// When a business is open on a day, in minutes since midnight by the clock on its wall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayHours {
    /// When it opens, from 0 to 1439.
    pub open: u16,
    /// When it closes, from 0 to 1440; on the next day if it is not after `open`.
    pub close: u16,
}

impl DayHours {
    /// Returns whether they end on the next day. Hours until 24:00, or until 0:00, do not reach into it.
    #[must_use]
    pub const fn pass_midnight(self) -> bool {
        self.close <= self.open
    }
}

/// The opening hours of a week, Monday first; `None` on days when it is closed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpeningHours([Option<DayHours>; 7]);

impl OpeningHours {
    /// Creates the hours of a week, Monday first. Those of a day must not reach into those of the next.
    #[must_use]
    pub const fn new(days: [Option<DayHours>; 7]) -> Self {
        Self(days)
    }

    /// Returns whether a local time is within the hours. The minute of closing is not.
    ///
    /// The clock on the wall decides, also when clocks change: of an hour that is skipped nothing is within them, and an hour that
    /// comes twice is, or is not, both times.
    #[must_use]
    pub fn contains(&self, local: NaiveDateTime) -> bool {
        let minute = u16::try_from(local.hour() * 60 + local.minute()).expect("a day has 1440 minutes");
        let (today, yesterday) = (local.weekday(), local.weekday().pred());
        let today = self.of(today).is_some_and(|hours| match hours.pass_midnight() {
            true => minute >= hours.open,
            false => (hours.open..hours.close).contains(&minute),
        });
        let since_yesterday =
            || self.of(yesterday).is_some_and(|hours| hours.pass_midnight() && minute < hours.close);
        today || since_yesterday()
    }

    /// Returns the hours of a weekday; `None` if it is closed.
    #[must_use]
    pub const fn of(&self, day: Weekday) -> Option<DayHours> {
        self.0[day as usize]
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, NaiveDate, TimeDelta};
    use chrono_tz::Tz;

    use super::*;

    /// The Monday of a week.
    fn monday() -> NaiveDateTime {
        NaiveDate::from_ymd_opt(2026, 11, 23).unwrap().into()
    }

    /// Open on one day alone.
    fn on(day: usize, open: u16, close: u16) -> OpeningHours {
        let mut days = [None; 7];
        days[day] = Some(DayHours { open, close });
        OpeningHours::new(days)
    }

    /// The minutes of a week, from Monday 0:00, that are within `hours`.
    fn minutes(hours: &OpeningHours) -> Vec<i64> {
        (0..7 * 1440).filter(|minute| hours.contains(monday() + TimeDelta::minutes(*minute))).collect()
    }

    #[test]
    fn each_day_is_open_from_its_opening_to_the_minute_before_its_closing() {
        for day in 0..7 {
            let start = i64::try_from(day).unwrap() * 1440;
            assert_eq!(minutes(&on(day, 540, 1020)), (start + 540..start + 1020).collect::<Vec<_>>());
            assert_eq!(minutes(&on(day, 0, 1440)), (start..start + 1440).collect::<Vec<_>>());
        }
    }

    #[test]
    fn hours_of_each_day_may_pass_midnight() {
        for day in 0..7 {
            let start = i64::try_from(day).unwrap() * 1440;
            let mut open: Vec<i64> =
                (start + 22 * 60..start + 26 * 60).map(|minute| minute % (7 * 1440)).collect();
            open.sort_unstable();
            assert_eq!(minutes(&on(day, 22 * 60, 2 * 60)), open, "Sunday's reach into Monday");
            let until_midnight: Vec<i64> = (start + 22 * 60..start + 24 * 60).collect();
            assert_eq!(minutes(&on(day, 22 * 60, 0)), until_midnight);
            assert_eq!(minutes(&on(day, 22 * 60, 1440)), until_midnight);
        }
    }

    /// How many minutes of the day on which this is written, and of the one after, are within `hours`.
    fn minutes_around(zone: Tz, from: &str, hours: &OpeningHours) -> usize {
        let from: DateTime<chrono::Utc> = from.parse().unwrap();
        let at = |minute| (from + TimeDelta::minutes(minute)).with_timezone(&zone).naive_local();
        (0..48 * 60).filter(|minute| hours.contains(at(*minute))).count()
    }

    #[test]
    fn the_clock_on_the_wall_decides_when_clocks_change() {
        let (saturday, night) = (5, on(5, 22 * 60, 4 * 60));
        let berlin = Tz::Europe__Berlin;
        assert_eq!(minutes_around(berlin, "2026-03-27T23:00:00Z", &night), 5 * 60, "2:00 to 3:00 is skipped");
        assert_eq!(
            minutes_around(berlin, "2026-10-23T22:00:00Z", &night),
            7 * 60,
            "2:00 to 3:00 comes twice"
        );
        assert_eq!(minutes_around(berlin, "2026-11-20T23:00:00Z", &night), 6 * 60);
        // Clocks in Beirut change at midnight, from Saturday to Sunday.
        let until_half_past = on(saturday, 22 * 60, 30);
        let beirut = Tz::Asia__Beirut;
        assert_eq!(minutes_around(beirut, "2026-03-27T22:00:00Z", &until_half_past), 2 * 60);
        assert_eq!(minutes_around(beirut, "2026-10-23T21:00:00Z", &until_half_past), 3 * 60 + 30);
    }
}
