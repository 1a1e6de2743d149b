//! A funnel: how many came how far.

use askama::Template;

use crate::locale::{Locale, or_dash};

/// The fewest cases of which a share is shown: of fewer it would say more than is known.
const LEAST_CASES: i64 = 10;

/// Steps, with how many came that far, their share of the first step, and how many were lost on the way.
#[derive(Debug, Clone)]
pub struct Funnel {
    /// The steps, from the first on.
    pub steps: Vec<Step>,
    /// Whose numbers these are.
    pub locale: Locale,
}

/// A step of a funnel.
#[derive(Debug, Clone)]
pub struct Step {
    /// What it is called: `Booked`.
    pub name: String,
    /// How many came to it; `None` if that is not known.
    pub count: Option<i64>,
    /// What became of those who came to the step before and not to this one: `did not book`.
    pub lost: String,
}

/// A funnel with its texts; see `templates/charts/funnel.html`.
#[derive(Template)]
#[template(path = "charts/funnel.html")]
pub(super) struct Drawing<'a>(Vec<Row<'a>>);

struct Row<'a> {
    name: &'a str,
    count: String,
    share: Option<String>,
    lost: Option<String>,
    /// From 0 to 1000.
    width: i64,
}

impl Funnel {
    pub(super) fn drawing(&self) -> Drawing<'_> {
        Drawing((0..self.steps.len()).map(|index| self.row(index)).collect())
    }

    fn row(&self, index: usize) -> Row<'_> {
        let step = &self.steps[index];
        let first = self.steps[0].count.unwrap_or_default();
        let before = index.checked_sub(1).and_then(|before| self.steps[before].count);
        let lost =
            before.zip(step.count).map(|(before, now)| (before - now, before)).filter(|(lost, _)| *lost > 0);
        Row {
            name: &step.name,
            count: or_dash(step.count, |count| self.locale.count(count)),
            share: step.count.and_then(|count| self.share(count, first)),
            lost: lost.map(|(lost, before)| self.lost(lost, before, &step.lost)),
            width: width(step.count.unwrap_or_default(), first),
        }
    }

    fn lost(&self, lost: i64, before: i64, what: &str) -> String {
        let count = self.locale.count(lost);
        self.share(lost, before)
            .map_or_else(|| format!("{count} {what}"), |share| format!("{count} ({share}) {what}"))
    }

    #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
    fn share(&self, part: i64, whole: i64) -> Option<String> {
        (whole >= LEAST_CASES).then(|| self.locale.percent(part as f64 / whole as f64, 0))
    }
}

/// Returns how wide a bar is; what there is of is seen, and nothing is wider than the first.
fn width(count: i64, first: i64) -> i64 {
    match (count, first) {
        (..=0, _) => 0,
        (_, ..=0) => 1_000,
        (count, first) => {
            (i128::from(count) * 1_000 / i128::from(first)).clamp(4, 1_000).try_into().unwrap_or(1_000)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(counts: &[Option<i64>]) -> Vec<(String, Option<String>, Option<String>, i64)> {
        let step = |count: &Option<i64>| Step { name: String::new(), count: *count, lost: "left".to_owned() };
        let locale = Locale::from_header(None);
        let funnel = Funnel { steps: counts.iter().map(step).collect(), locale };
        funnel.drawing().0.into_iter().map(|row| (row.count, row.share, row.lost, row.width)).collect()
    }

    #[test]
    fn steps_tell_shares_and_losses() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            rows(&[Some(1_200), Some(300), Some(299), None, Some(310)]),
            [
                ("1,200".into(), some("100\u{a0}%"), None, 1_000),
                ("300".into(), some("25\u{a0}%"), some("900 (75\u{a0}%) left"), 250),
                ("299".into(), some("25\u{a0}%"), some("1 (0\u{a0}%) left"), 249),
                ("–".into(), None, None, 0),
                ("310".into(), some("26\u{a0}%"), None, 258),
            ]
        );
    }

    #[test]
    fn few_cases_have_no_shares() {
        let shown = rows(&[Some(9), Some(3)]);
        assert_eq!(shown[1], ("3".into(), None, Some("6 left".into()), 333));
        assert_eq!(rows(&[Some(0), Some(0)])[1], ("0".into(), None, None, 0));
        assert_eq!(rows(&[Some(0), Some(2)])[1].3, 1_000);
        assert_eq!(rows(&[Some(i64::MAX), Some(1)])[1].3, 4, "a little is not nothing");
        assert!(rows(&[]).is_empty());
    }
}
