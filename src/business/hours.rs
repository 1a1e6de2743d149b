//! Opening hours: one interval for each weekday, which may pass midnight.

use chrono::{Datelike, NaiveDateTime, Timelike, Weekday};

/// When a business is open on a day, in minutes since midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayHours {
    /// When it opens, from 0 to 1439.
    pub open: u16,
    /// When it closes, from 1 to 1440; on the next day if it is not after `open`.
    pub close: u16,
}

/// Why opening hours are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HoursError {
    /// Two days' hours overlap.
    #[error("the hours of {0} reach into those of the next day")]
    Overlap(&'static str),
}

/// The opening hours of a week, Monday first; `None` on days when it is closed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpeningHours([Option<DayHours>; 7]);

impl OpeningHours {
    /// Creates the hours of a week, Monday first.
    #[must_use]
    pub const fn new(days: [Option<DayHours>; 7]) -> Self {
        Self(days)
    }

    /// Returns whether a local time is within the hours. The minute of closing is not.
    #[must_use]
    pub fn contains(&self, local: NaiveDateTime) -> bool {
        let minute = u16::try_from(local.hour() * 60 + local.minute()).expect("a day has 1440 minutes");
        let (today, yesterday) = (local.weekday(), local.weekday().pred());
        let today = self.of(today).is_some_and(|hours| match hours.close > hours.open {
            true => (hours.open..hours.close).contains(&minute),
            false => minute >= hours.open,
        });
        let after_midnight =
            || self.of(yesterday).is_some_and(|hours| hours.close <= hours.open && minute < hours.close);
        today || after_midnight()
    }

    /// Returns the hours of a weekday; `None` if it is closed.
    #[must_use]
    pub const fn of(&self, day: Weekday) -> Option<DayHours> {
        self.0[day as usize]
    }
}
