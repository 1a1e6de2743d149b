//! The outline of opening hours.

use std::fmt::Write as _;

use chrono::Weekday;

use super::CELL;
use crate::business::OpeningHours;

/// The minutes of a day.
const DAY: u16 = 1_440;

/// When a business is open on a day, in minutes since midnight.
type Open = Vec<(u16, u16)>;

/// Draws the border of the opening hours: between what is open and what is not, one line each.
pub(super) fn outline(hours: &OpeningHours) -> String {
    let mut days: Vec<Open> = (0..7).map(|day| on_day(hours, day)).collect();
    let mut path = String::new();
    for (row, open) in days.iter().enumerate() {
        for &minute in open.iter().flat_map(|(from, to)| [from, to]) {
            let down = write!(path, "M{} {}v{CELL}", x(minute), row * CELL);
            down.expect("a string takes everything");
        }
    }
    // Beyond Monday and Sunday nothing is open.
    days.insert(0, Open::new());
    days.push(Open::new());
    for (row, pair) in days.windows(2).enumerate() {
        border(&mut path, row * CELL, &pair[0], &pair[1]);
    }
    path
}

/// Draws the parts of a horizontal line that have open hours on one side only.
fn border(path: &mut String, y: usize, above: &Open, below: &Open) {
    let mut ends: Vec<u16> = above.iter().chain(below).flat_map(|&(from, to)| [from, to]).collect();
    ends.sort_unstable();
    ends.dedup();
    let is_open = |open: &Open, minute: u16| open.iter().any(|&(from, to)| (from..to).contains(&minute));
    for pair in ends.windows(2) {
        if is_open(above, pair[0]) != is_open(below, pair[0]) {
            write!(path, "M{} {y}H{}", x(pair[0]), x(pair[1])).expect("a string takes everything");
        }
    }
}

/// Returns the open hours of a day (0 is Monday), those since the evening before included; what meets is one.
fn on_day(hours: &OpeningHours, day: u8) -> Open {
    let weekday = Weekday::try_from(day).expect("a week has seven days");
    let yesterday = hours.of(weekday.pred()).filter(|hours| hours.pass_midnight() && hours.close > 0);
    let today =
        hours.of(weekday).map(|hours| (hours.open, if hours.pass_midnight() { DAY } else { hours.close }));
    match (yesterday.map(|hours| hours.close), today) {
        (Some(close), Some((from, to))) if close >= from => vec![(0, to)],
        (close, today) => close.map(|close| (0, close)).into_iter().chain(today).collect(),
    }
}

/// Where a minute is.
fn x(minute: u16) -> usize {
    usize::from(minute) * 24 * CELL / usize::from(DAY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::business::DayHours;

    fn drawn(hours: [(usize, u16, u16); 2]) -> String {
        let mut week = [None; 7];
        for (day, open, close) in hours {
            week[day] = Some(DayHours { open: open * 60, close: close * 60 });
        }
        outline(&OpeningHours::new(week))
    }

    #[test]
    fn days_with_the_same_hours_have_no_line_between_them() {
        let outline = drawn([(0, 9, 17), (1, 9, 17)]);
        assert_eq!(outline, "M540 0v60M1020 0v60M540 60v60M1020 60v60M540 0H1020M540 120H1020");
    }

    #[test]
    fn a_line_stands_where_one_day_is_open_and_the_next_is_not() {
        let outline = drawn([(0, 9, 17), (1, 12, 18)]);
        assert!(outline.contains("M540 60H720") && outline.contains("M1020 60H1080"), "{outline}");
        assert!(!outline.contains("M720 60H"), "{outline}");
    }

    #[test]
    fn hours_that_pass_midnight_go_on_in_the_next_row() {
        let outline = drawn([(4, 22, 2), (6, 20, 0)]);
        assert!(outline.contains("M0 300v60M120 300v60"), "until two on Saturday: {outline}");
        assert!(outline.contains("M1200 360v60M1440 360v60"), "until midnight on Sunday: {outline}");
    }
}
