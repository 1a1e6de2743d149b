//! How a reader's locale writes numbers and dates. Words stay English.

mod accept;
mod dates;
mod numbers;

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;

use dates::Dates;
use numbers::Numbers;

/// What stands where there is no figure: an en dash.
pub const NO_FIGURE: &str = "–";

/// Between a number and its unit, so that no line ends there: a no-break space.
const SPACE: char = '\u{a0}';

/// A reader's locale. Cheap to clone.
///
/// Digits are always 0 to 9 and the calendar Gregorian, as the text around them is English: what differs is the order of a date's
/// parts, and the separators. Conventions are those of Unicode's CLDR.
#[derive(Clone)]
pub struct Locale(Arc<Formats>);

struct Formats {
    tag: String,
    numbers: Numbers,
    dates: Dates,
}

impl Locale {
    /// Returns the locale that a reader prefers by the value of `Accept-Language` (RFC 9110, 12.5.4); US English if there is none, or
    /// none that is known. Only the first ten languages are read.
    #[must_use]
    pub fn from_header(accept_language: Option<&str>) -> Self {
        let tag = accept::preferred(accept_language.unwrap_or_default());
        Self(Arc::new(Formats { numbers: Numbers::of(&tag), dates: Dates::of(&tag), tag: tag.to_string() }))
    }

    /// Returns the tag of the locale, such as `de-AT`.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.0.tag
    }

    /// Returns a count: `1,234`.
    #[must_use]
    pub fn count(&self, count: i64) -> String {
        self.0.numbers.integer(count)
    }

    /// Returns a number with exactly `digits` decimal places, rounded half to even; an en dash for what is no number.
    #[must_use]
    pub fn decimal(&self, value: f64, digits: u8) -> String {
        self.0.numbers.decimal(value, digits, digits).unwrap_or_else(|| NO_FIGURE.to_owned())
    }

    /// Returns a fraction as a percentage with exactly `digits` decimal places: `12 %` for 0.12.
    #[must_use]
    pub fn percent(&self, fraction: f64, digits: u8) -> String {
        self.with_unit(fraction * 100.0, digits, "%")
    }

    /// Returns an amount in US dollars: in cents from one dollar on, with four decimal places below, and with six below $0.0001.
    #[must_use]
    pub fn usd(&self, dollars: f64) -> String {
        let (least, most) = match dollars.abs() {
            0.0 => (2, 2),
            size if size < 0.000_1 => (4, 6),
            // What would be rounded to a dollar is shown as one.
            size if size < 0.999_95 => (4, 4),
            _ => (2, 2),
        };
        let sign = if dollars < 0.0 { "-" } else { "" };
        let amount = self.0.numbers.decimal(dollars.abs(), least, most);
        amount.map_or_else(|| NO_FIGURE.to_owned(), |amount| format!("{sign}${amount}"))
    }

    /// Returns a duration given in milliseconds: `850 ms`, `1.4 s` from a second on, `2.5 min` from two minutes on.
    #[must_use]
    pub fn duration_ms(&self, milliseconds: f64) -> String {
        match milliseconds {
            ms if ms < 999.5 => self.with_unit(ms, 0, "ms"),
            ms if ms < 120_000.0 => self.with_unit(ms / 1_000.0, 1, "s"),
            ms => self.with_unit(ms / 60_000.0, 1, "min"),
        }
    }

    /// Returns a change, given as a fraction of what was before, in words: `12 % more`, `8 % fewer`, `as many`; from ten times on
    /// `10.0 times as many`. A change that would be shown as 0 % is `as many`.
    #[must_use]
    pub fn change(&self, fraction: f64) -> String {
        self.change_in(fraction, ["more", "fewer", "as many"])
    }

    /// Returns a change as [`Locale::change`] does, in words of the caller's: for more, for less, and for the same.
    #[must_use]
    pub fn change_in(&self, fraction: f64, [more, less, same]: [&str; 3]) -> String {
        if !fraction.is_finite() {
            return NO_FIGURE.to_owned();
        }
        match (fraction * 100.0).round() {
            0.0 => same.to_owned(),
            shown if shown >= 900.0 => format!("{} times {same}", self.decimal(fraction + 1.0, 1)),
            shown if shown > 0.0 => format!("{} {more}", self.percent(fraction, 0)),
            _ => format!("{} {less}", self.percent(-fraction, 0)),
        }
    }

    /// Returns a change with its sign, where there is room for a figure only: `+12 %`, `−8 %` (with a minus sign), `±0 %`.
    #[must_use]
    pub fn signed_percent(&self, fraction: f64) -> String {
        if !fraction.is_finite() {
            return NO_FIGURE.to_owned();
        }
        let sign = match (fraction * 100.0).round() {
            0.0 => '±',
            shown if shown > 0.0 => '+',
            _ => '−',
        };
        format!("{sign}{}", self.percent(fraction.abs(), 0))
    }

    /// Returns a day: `27 Nov 2026` or `Nov 27, 2026` for English readers, in figures in their own order for others (`27.11.2026`).
    #[must_use]
    pub fn date(&self, day: NaiveDate) -> String {
        self.0.dates.day(day)
    }

    /// Returns a day without its year: `27 Nov`, `Nov 27`, `27.11.`.
    #[must_use]
    pub fn short_date(&self, day: NaiveDate) -> String {
        self.0.dates.short(day)
    }

    /// Returns a month (1 to 12) in English words, for titles: `October 2026`.
    #[must_use]
    pub fn month(&self, year: i32, month: u32) -> String {
        let first = NaiveDate::from_ymd_opt(year, month, 1);
        first.map_or_else(|| NO_FIGURE.to_owned(), |day| day.format("%B %Y").to_string())
    }

    /// Returns a moment in a time zone, to the minute: `27 Nov 2026, 15:04`, `Nov 27, 2026, 3:04 PM`.
    #[must_use]
    pub fn date_time(&self, moment: DateTime<Utc>, zone: Tz) -> String {
        let local = moment.with_timezone(&zone).naive_local();
        format!("{}, {}", self.date(local.date()), self.0.dates.time(local.time()))
    }

    fn with_unit(&self, value: f64, digits: u8, unit: &str) -> String {
        let number = self.0.numbers.decimal(value, digits, digits);
        number.map_or_else(|| NO_FIGURE.to_owned(), |number| format!("{number}{SPACE}{unit}"))
    }
}

impl fmt::Debug for Locale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Locale").field(&self.0.tag).finish()
    }
}

/// Returns what `show` makes of a figure, and an en dash where there is none.
pub fn or_dash<T>(figure: Option<T>, show: impl FnOnce(T) -> String) -> String {
    figure.map_or_else(|| NO_FIGURE.to_owned(), show)
}

/// Removes the marks of writing direction that some locales put into numbers and dates: these would turn around parts of English text.
fn without_direction(text: &str) -> String {
    text.replace(['\u{200e}', '\u{200f}', '\u{61c}'], "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locale(header: &str) -> Locale {
        Locale::from_header(Some(header))
    }

    fn day() -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, 27).unwrap()
    }

    #[test]
    fn numbers_are_written_as_the_reader_does() {
        let shown = |header: &str| {
            let locale = locale(header);
            [
                locale.count(-1_234_567),
                locale.decimal(1234.5, 2),
                locale.usd(1234.5),
                locale.percent(0.125, 1),
            ]
        };
        assert_eq!(shown("en-US"), ["-1,234,567", "1,234.50", "$1,234.50", "12.5\u{a0}%"]);
        assert_eq!(shown("de"), ["-1.234.567", "1.234,50", "$1.234,50", "12,5\u{a0}%"]);
        assert_eq!(shown("de-CH"), ["-1'234'567", "1'234.50", "$1'234.50", "12.5\u{a0}%"]);
        assert_eq!(
            shown("fr-FR"),
            ["-1\u{202f}234\u{202f}567", "1\u{202f}234,50", "$1\u{202f}234,50", "12,5\u{a0}%"]
        );
        assert_eq!(shown("en-IN"), ["-12,34,567", "1,234.50", "$1,234.50", "12.5\u{a0}%"]);
        assert_eq!(locale("ar-EG").count(1_234), "1,234", "digits stay those of the text");
        assert_eq!(locale("en").count(i64::MIN), "-9,223,372,036,854,775,808");
    }

    #[test]
    fn amounts_show_as_many_digits_as_they_need() {
        let english = locale("en-US");
        for (dollars, shown) in [
            (0.0, "$0.00"),
            (0.000_012_3, "$0.000012"),
            (0.000_05, "$0.00005"),
            (0.000_1, "$0.0001"),
            (0.012_5, "$0.0125"),
            (0.999_96, "$1.00"),
            (-0.5, "-$0.5000"),
            (1_234_567.891, "$1,234,567.89"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(english.usd(dollars), shown);
        }
    }

    #[test]
    fn durations_change_their_unit_when_they_grow() {
        let english = locale("en-US");
        for (milliseconds, shown) in [
            (0.0, "0\u{a0}ms"),
            (850.4, "850\u{a0}ms"),
            (999.6, "1.0\u{a0}s"),
            (1_449.0, "1.4\u{a0}s"),
            (150_000.0, "2.5\u{a0}min"),
            (f64::INFINITY, "–"),
        ] {
            assert_eq!(english.duration_ms(milliseconds), shown);
        }
    }

    #[test]
    fn changes_are_told_in_words() {
        let english = locale("en-US");
        for (fraction, words, sign) in [
            (0.12, "12\u{a0}% more", "+12\u{a0}%"),
            (-0.08, "8\u{a0}% fewer", "−8\u{a0}%"),
            (0.004, "as many", "±0\u{a0}%"),
            (11.0, "12.0 times as many", "+1,100\u{a0}%"),
            (f64::NAN, "–", "–"),
        ] {
            assert_eq!(
                (english.change(fraction), english.signed_percent(fraction)),
                (words.into(), sign.into())
            );
        }
        assert_eq!(english.change_in(-0.3, ["slower", "faster", "as fast"]), "30\u{a0}% faster");
    }

    #[test]
    fn dates_are_in_the_readers_order_and_in_english_words() {
        let moment = "2026-11-27T14:04:00Z".parse().unwrap();
        for (header, date, short, time) in [
            ("en-US", "Nov 27, 2026", "Nov 27", "Nov 27, 2026, 9:04\u{202f}AM"),
            ("en-GB", "27 Nov 2026", "27 Nov", "27 Nov 2026, 09:04"),
            ("de", "27.11.2026", "27.11.", "27.11.2026, 09:04"),
            ("fr", "27/11/2026", "27/11", "27/11/2026, 09:04"),
            ("ja", "2026/11/27", "11/27", "2026/11/27, 9:04"),
            ("ar-EG", "27/11/2026", "27/11", "27/11/2026, 09:04"),
            ("fa-IR", "2026/11/27", "11/27", "2026/11/27, 9:04"),
        ] {
            let locale = locale(header);
            assert_eq!(
                (locale.date(day()).as_str(), locale.short_date(day()).as_str()),
                (date, short),
                "{header}"
            );
            assert_eq!(locale.date_time(moment, Tz::America__New_York), time, "{header}");
        }
        assert_eq!(locale("de").month(2026, 10), "October 2026");
        assert_eq!(locale("de").month(2026, 13), "–");
    }

    #[test]
    fn no_figure_is_a_dash() {
        let english = locale("en-US");
        assert_eq!(or_dash(None, |count| english.count(count)), "–");
        assert_eq!(or_dash(Some(0), |count| english.count(count)), "0");
    }
}
