//! `hours`.

use chrono::{Days, NaiveDate, NaiveTime};
use serde::Serialize;
use utoipa::ToSchema;

use crate::business::OpeningHours;
use crate::store::Figures;

/// A Monday.
const MONDAY: NaiveDate = NaiveDate::from_ymd_opt(2024, 1, 1).expect("it is a day");

/// An hour of the week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OfHour {
    /// The weekday, from 1 (Monday) to 7.
    pub weekday: u8,
    /// The hour of the day, from 0 to 23.
    pub hour: u8,
    /// Conversations that began then.
    #[schema(minimum = 0)]
    pub conversations: i64,
    /// Stored answers.
    #[schema(minimum = 0)]
    pub answers: i64,
    /// Conversations that began then, in which an appointment was requested.
    #[schema(minimum = 0)]
    pub requested: i64,
    /// Whether its first minute is within the opening hours; `None` if these are not known.
    #[schema(required)]
    pub open: Option<bool>,
}

impl OfHour {
    /// The names of its fields, in order.
    pub const COLUMNS: [&'static str; 6] =
        ["weekday", "hour", "conversations", "answers", "requested", "open"];

    /// Returns the 168 hours of the week, Monday first.
    pub(in crate::analytics) fn all(figures: &Figures, open: Option<&OpeningHours>) -> Vec<Self> {
        let hours = (1..=7).flat_map(|weekday| (0..24).map(move |hour| (weekday, hour)));
        let of_hour = |(weekday, hour)| {
            let sums = figures.hours.get(&(weekday, hour)).copied().unwrap_or_default();
            let day = MONDAY + Days::new(u64::from(weekday) - 1);
            let time = NaiveTime::from_hms_opt(hour.into(), 0, 0).unwrap_or_default();
            Self {
                weekday,
                hour,
                conversations: sums.conversations,
                answers: sums.answers,
                requested: sums.requested,
                open: open.map(|hours| hours.contains(day.and_time(time))),
            }
        };
        hours.map(of_hour).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::business::DayHours;

    #[test]
    fn an_hour_is_open_if_its_first_minute_is() {
        let mut week = [None; 7];
        week[0] = Some(DayHours { open: 9 * 60 + 30, close: 11 * 60 });
        week[6] = Some(DayHours { open: 22 * 60, close: 2 * 60 });
        let hours = OfHour::all(&Figures::default(), Some(&OpeningHours::new(week)));
        let open: Vec<_> = hours.iter().filter(|hour| hour.open == Some(true)).collect();
        let open: Vec<_> = open.iter().map(|hour| (hour.weekday, hour.hour)).collect();
        assert_eq!(open, [(1, 0), (1, 1), (1, 10), (7, 22), (7, 23)]);
        assert_eq!(hours.len(), 168);
        assert!(OfHour::all(&Figures::default(), None).iter().all(|hour| hour.open.is_none()));
    }
}
