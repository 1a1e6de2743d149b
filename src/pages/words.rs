//! Figures in words.

use crate::analytics::Rate;
use crate::locale::{Locale, NO_FIGURE};

/// The smallest number of cases of which a rate is shown. Of fewer, one case more or less would change it by more than ten per cent.
pub(super) const MIN_CASES: i64 = 10;

/// Returns a rate as a percentage; a dash if there are too few cases to tell.
pub(super) fn share(locale: &Locale, rate: &Rate<i64>) -> String {
    match rate.value.filter(|_| rate.whole >= MIN_CASES) {
        Some(value) => locale.percent(value, 0),
        None => NO_FIGURE.to_owned(),
    }
}

/// Returns a rate with what it is of, such as `15 % of conversations`, or `3 of 6 conversations` if there are too few cases to tell.
pub(super) fn share_of(locale: &Locale, rate: &Rate<i64>, of: &str) -> String {
    match rate.value.filter(|_| rate.whole >= MIN_CASES) {
        Some(value) => format!("{} of {of}", locale.percent(value, 0)),
        None => format!("{} of {} {of}", locale.count(rate.part), locale.count(rate.whole)),
    }
}

/// Returns a share in brackets, to stand behind its count; nothing if there are too few cases to tell.
pub(super) fn bracketed(locale: &Locale, rate: &Rate<i64>) -> String {
    let value = rate.value.filter(|_| rate.whole >= MIN_CASES);
    value.map(|value| format!(" ({})", locale.percent(value, 0))).unwrap_or_default()
}

/// Returns how a count changed, such as `12 % more than five weeks earlier`; `None` if there were too few cases to tell.
pub(super) fn change(locale: &Locale, rate: &Rate<i64>, weeks: u64) -> Option<String> {
    let value = rate.value.filter(|_| rate.whole >= MIN_CASES)?;
    Some(than(&locale.change(value), weeks))
}

/// Joins a comparison and the period that it is with.
pub(super) fn than(comparison: &str, weeks: u64) -> String {
    let joint = if comparison.contains("as ") { "as" } else { "than" };
    format!("{comparison} {joint} {}", weeks_earlier(weeks))
}

/// Returns `a week earlier`, `five weeks earlier`, `14 weeks earlier`.
pub(super) fn weeks_earlier(weeks: u64) -> String {
    const WORDS: [&str; 11] =
        ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];
    let word = usize::try_from(weeks).ok().and_then(|weeks| WORDS.get(weeks.checked_sub(2)?));
    match (weeks, word) {
        (1, _) => "a week earlier".to_owned(),
        (_, Some(word)) => format!("{word} weeks earlier"),
        (weeks, None) => format!("{weeks} weeks earlier"),
    }
}

/// Returns a count with its noun: `1 conversation`, `2 conversations`.
pub(super) fn counted(locale: &Locale, count: i64, one: &str, many: &str) -> String {
    format!("{} {}", locale.count(count), if count == 1 { one } else { many })
}

/// Joins parts of an enumeration: `a`, `a and b`, `a, b and c`.
pub(super) fn enumerated(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn english() -> Locale {
        Locale::from_header(Some("en-US"))
    }

    #[test]
    fn no_rate_is_shown_of_fewer_than_ten_cases() {
        let (few, enough) = (Rate::of(9, 9), Rate::of(5, 10));
        assert_eq!([share(&english(), &few), share(&english(), &enough)], ["–", "50\u{a0}%"]);
        assert_eq!(share_of(&english(), &few, "conversations"), "9 of 9 conversations");
        assert_eq!(share_of(&english(), &enough, "conversations"), "50\u{a0}% of conversations");
        assert_eq!([bracketed(&english(), &few), bracketed(&english(), &enough)], ["", " (50\u{a0}%)"]);
        assert_eq!(change(&english(), &Rate::change(20, 9), 1), None);
    }

    #[test]
    fn a_change_says_since_when() {
        let told = |now, before, weeks| change(&english(), &Rate::change(now, before), weeks).unwrap();
        assert_eq!(told(12, 10, 1), "20\u{a0}% more than a week earlier");
        assert_eq!(told(8, 10, 5), "20\u{a0}% fewer than five weeks earlier");
        assert_eq!(told(10, 10, 13), "as many as 13 weeks earlier");
        assert_eq!(told(110, 10, 53), "11.0 times as many as 53 weeks earlier");
    }

    #[test]
    fn parts_are_enumerated() {
        let told =
            |parts: &[&str]| enumerated(&parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>());
        assert_eq!(told(&["a"]), "a");
        assert_eq!(told(&["a", "b"]), "a and b");
        assert_eq!(told(&["a", "b", "c"]), "a, b and c");
    }
}
