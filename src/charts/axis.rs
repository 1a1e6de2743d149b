//! What the axes say.

use super::scale::Scale;
use crate::locale::Locale;

/// The room that the plot has for labels of the x axis on a phone, and on a screen that is not narrow, in pixels.
const NARROW: usize = 270;
const WIDE: usize = 620;

/// What a character of a label takes at most on average, and the room between two labels, in pixels.
const CHARACTER: usize = 7;
const BETWEEN: usize = 10;

/// Distances of labels: from 7 on whole weeks, so that labels of days are all on one weekday.
const DISTANCES: [usize; 11] = [1, 2, 4, 7, 14, 28, 56, 112, 224, 448, 896];

/// The axis of points, such as days.
#[derive(Debug, Clone, Default)]
pub struct XAxis {
    /// What the points are, such as `Day`.
    pub title: String,
    /// A short label for each point, such as `27 Nov`. Only as many are shown as there is room for.
    pub labels: Vec<String>,
}

/// The axis of values.
#[derive(Debug, Clone)]
pub struct YAxis {
    /// What the values are, with their unit where the labels do not show it: `Conversations per day`.
    pub title: String,
    /// How its labels are written.
    pub unit: Unit,
    /// Whose numbers these are.
    pub locale: Locale,
}

/// What values are, and how an axis writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things that are counted, one by one.
    Count,
    /// Fractions, shown in per cent: 0.5 is 50 %.
    Fraction,
    /// US dollars.
    Usd,
    /// Milliseconds, shown in seconds from two on.
    Milliseconds,
}

/// A label of an axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Label {
    /// What it says.
    pub(super) text: String,
    /// Where it is, in per cent of the length of its axis from the left or the top.
    pub(super) at: f64,
    /// Whether only a screen that is not narrow has room for it.
    pub(super) wide: bool,
}

impl XAxis {
    /// Chooses the labels that are shown.
    pub(super) fn shown(&self) -> Vec<Label> {
        let count = self.labels.len();
        let longest = self.labels.iter().map(|label| label.chars().count()).max().unwrap_or_default();
        let narrow = distance(count, longest, NARROW, None).unwrap_or(count);
        // Every label of a phone is one of a wide screen too.
        let wide = distance(count, longest, WIDE, Some(narrow)).unwrap_or(narrow);
        let label = |index: usize| {
            let text = self.labels[index].clone();
            Label { text, at: percent(2 * index + 1, 2 * count), wide: !index.is_multiple_of(narrow) }
        };
        (0..count).step_by(wide.max(1)).map(label).collect()
    }
}

/// Returns the least distance at which labels do not overlap; if `whole` is given, one that divides it.
fn distance(count: usize, longest: usize, room: usize, whole: Option<usize>) -> Option<usize> {
    let most = (room / (longest * CHARACTER + BETWEEN)).max(1);
    let is_part = |distance: usize| whole.is_none_or(|whole| whole.is_multiple_of(distance));
    DISTANCES.into_iter().find(|&distance| is_part(distance) && count.div_ceil(distance) <= most)
}

/// Returns `part` of `whole` in per cent, to a hundredth.
#[expect(clippy::cast_precision_loss, reason = "these are counts of points")]
fn percent(part: usize, whole: usize) -> f64 {
    (part as f64 / whole as f64 * 10_000.0).round() / 100.0
}

impl YAxis {
    /// Returns the scale that has room for the values.
    pub(super) fn scale(&self, values: impl Iterator<Item = f64>) -> Scale {
        let largest = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
        Scale::up_to(largest, self.unit.finest())
    }

    /// Returns its labels, from the bottom to the top.
    pub(super) fn shown(&self, scale: Scale) -> Vec<Label> {
        let label = |value: f64| Label {
            text: self.unit.label(&self.locale, value, scale),
            at: ((1.0 - scale.position(value)) * 10_000.0).round() / 100.0,
            wide: false,
        };
        scale.ticks().map(label).collect()
    }
}

impl Unit {
    /// The smallest step of an axis.
    fn finest(self) -> f64 {
        match self {
            Self::Count | Self::Milliseconds => 1.0,
            Self::Fraction => 0.01,
            Self::Usd => 0.000_001,
        }
    }

    /// Writes a value of a scale with as many digits as its step has.
    fn label(self, locale: &Locale, value: f64, scale: Scale) -> String {
        match self {
            Self::Count => large(locale, value, scale),
            Self::Fraction => locale.percent(value, digits(scale.step * 100.0)),
            Self::Usd if scale.top() >= 1e6 => format!("${}", large(locale, value, scale)),
            // Cents have two digits, unless the step is whole dollars.
            Self::Usd => match digits(scale.step) {
                0 => format!("${}", locale.decimal(value, 0)),
                digits => format!("${}", locale.decimal(value, digits.max(2))),
            },
            Self::Milliseconds if scale.top() >= 2_000.0 => {
                format!(
                    "{}\u{a0}s",
                    large(locale, value / 1_000.0, Scale { step: scale.step / 1_000.0, ..scale })
                )
            }
            Self::Milliseconds => format!("{}\u{a0}ms", locale.decimal(value, 0)),
        }
    }
}

/// Writes a number that may be large: `2.5 M` for millions, `bn` for billions, `tn` for trillions, and beyond as a power of ten.
fn large(locale: &Locale, value: f64, scale: Scale) -> String {
    let (size, name) = match scale.top() {
        top if top < 1e6 => (1.0, ""),
        top if top < 1e9 => (1e6, "\u{a0}M"),
        top if top < 1e12 => (1e9, "\u{a0}bn"),
        top if top < 1e15 => (1e12, "\u{a0}tn"),
        _ => return format!("{value:.0e}"),
    };
    format!("{}{name}", locale.decimal(value / size, digits(scale.step / size)))
}

/// Returns the decimal places that multiples of a round step have, at most nine.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is from 0 to 9")]
fn digits(step: f64) -> u8 {
    // A step is 1, 2 or 5 times a power of ten, of which floats may fall short.
    (-(step * 1.000_001).log10().floor()).clamp(0.0, 9.0) as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(unit: Unit, largest: f64) -> String {
        let locale = Locale::from_header(Some("en-US"));
        let axis = YAxis { title: String::new(), unit, locale };
        let labels = axis.shown(axis.scale([largest].into_iter()));
        labels.into_iter().map(|label| label.text).collect::<Vec<_>>().join(" ").replace('\u{a0}', "_")
    }

    #[test]
    fn labels_have_the_digits_and_the_unit_that_they_need() {
        for (unit, largest, shown) in [
            (Unit::Count, 0.0, "0 1"),
            (Unit::Count, 4_321.0, "0 1,000 2,000 3,000 4,000 5,000"),
            (Unit::Count, 2_400_000.0, "0.0_M 0.5_M 1.0_M 1.5_M 2.0_M 2.5_M"),
            (Unit::Count, 3e18, "0e0 1e18 2e18 3e18"),
            (Unit::Fraction, 0.07, "0_% 2_% 4_% 6_% 8_%"),
            (Unit::Usd, 0.000_4, "$0.0000 $0.0001 $0.0002 $0.0003 $0.0004"),
            (Unit::Usd, 0.8, "$0.00 $0.20 $0.40 $0.60 $0.80"),
            (Unit::Usd, 42.0, "$0 $10 $20 $30 $40 $50"),
            (Unit::Milliseconds, 900.0, "0_ms 200_ms 400_ms 600_ms 800_ms 1,000_ms"),
            (Unit::Milliseconds, 2_300.0, "0.0_s 0.5_s 1.0_s 1.5_s 2.0_s 2.5_s"),
        ] {
            assert_eq!(labels(unit, largest), shown, "{unit:?} {largest}");
        }
    }

    fn days(count: usize) -> XAxis {
        XAxis {
            title: "Day".to_owned(),
            labels: (0..count).map(|day| format!("{} Nov", day % 30 + 1)).collect(),
        }
    }

    #[test]
    fn labels_thin_out_and_keep_to_one_weekday() {
        let shown = |count| {
            let labels = days(count).shown();
            (labels.len(), labels.iter().filter(|label| !label.wide).count())
        };
        assert_eq!(shown(1), (1, 1));
        assert_eq!(shown(7), (7, 4));
        assert_eq!(shown(30), (5, 5));
        assert_eq!(shown(90), (7, 4));
        assert_eq!(shown(366), (7, 4));
        assert!((days(1).shown()[0].at - 50.0).abs() < 1e-9);
        assert!(days(0).shown().is_empty());
    }

    proptest! {
        #[test]
        #[expect(clippy::cast_precision_loss, reason = "these are small")]
        fn labels_never_overlap(count in 1..2_000_usize, length in 1..30_usize) {
            let axis = XAxis { title: String::new(), labels: vec!["x".repeat(length); count] };
            let all = axis.shown();
            let narrow: Vec<_> = all.iter().filter(|label| !label.wide).cloned().collect();
            for (labels, room) in [(all, WIDE), (narrow, NARROW)] {
                let pixels = room as f64 / 100.0;
                for pair in labels.windows(2) {
                    prop_assert!((pair[1].at - pair[0].at) * pixels >= (length * CHARACTER) as f64);
                }
                prop_assert!(labels.iter().all(|label| (0.0..=100.0).contains(&label.at)));
            }
        }
    }
}
