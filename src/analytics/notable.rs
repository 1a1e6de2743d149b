//! What changed most from the period before, if that is more than noise. docs/analytics.md says how that is decided.

#[cfg(test)]
mod simulation;
mod test;

use chrono::{Days, NaiveDate};

use super::sections::{Basis, counted_cost};
use super::{Period, Rate, Usd};
use crate::store::{Day, Figures};

/// How likely noise may be taken for a change, over all figures.
const MAX_ERROR: f64 = 0.05;

/// The smallest relative change that is worth telling.
const LEAST_CHANGE: f64 = 0.1;

/// The smallest difference of rates that is: a percentage point.
const LEAST_DIFFERENCE: f64 = 0.01;

/// The smallest number of cases that a change is told of.
const LEAST_CASES: i64 = 10;

/// A figure that may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotableFigure {
    /// Conversations.
    Conversations,
    /// Booked conversations, of all.
    Conversion,
    /// Conversations handed to a person, of all.
    HandoffRate,
    /// Answers in which the AI failed, of all.
    ErrorRate,
    /// The mean response time.
    ResponseTime,
    /// The counted cost for each conversation.
    CostPerConversation,
}

/// The number of [`NotableFigure`]s, each of which is tested.
const FIGURES: f64 = 6.0;

/// The value of a figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NotableValue {
    /// A count.
    Count(i64),
    /// A rate.
    Rate(Rate<i64>),
    /// Milliseconds.
    Milliseconds(f64),
    /// Money.
    Usd(Usd),
}

/// The figure that changed most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Notable {
    /// Which one.
    pub figure: NotableFigure,
    /// Its value, without today.
    pub now: NotableValue,
    /// What it was in the period before, without the day that today would be compared with.
    pub before: NotableValue,
    /// The difference, of what it was; `None` if that was 0.
    pub change: Option<f64>,
    /// Whether it grew.
    pub is_more: bool,
}

/// A day that is over, and its counterpart some whole weeks before.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Pair {
    now: Day,
    before: Day,
}

impl Notable {
    /// Finds the figure of `current` that changed most from `previous`; `None` if every change may be noise.
    pub(super) fn find(
        current: &Figures,
        previous: &Figures,
        period: &Period,
        today: NaiveDate,
        basis: Basis,
    ) -> Option<Self> {
        let shift = Days::new(period.shift());
        let of = |figures: &Figures, day| figures.days.get(&day).copied().unwrap_or_default();
        let days = period.days.days().take_while(|day| *day < today);
        let pairs: Vec<Pair> =
            days.map(|day| Pair { now: of(current, day), before: of(previous, day - shift) }).collect();
        most(&pairs, basis, basis.knows(period.previous().from))
    }
}

/// Returns the figure that changed most. Conversations are only compared if they are known of all days.
fn most(pairs: &[Pair], basis: Basis, are_known: bool) -> Option<Notable> {
    let conversations = |day: &Day| day.facts.conversations;
    let of_facts = [
        count(pairs, NotableFigure::Conversations, conversations),
        rate(pairs, NotableFigure::Conversion, |day| basis.booked_of(&day.facts), conversations),
        rate(pairs, NotableFigure::HandoffRate, |day| day.facts.handoffs, conversations),
        ratio(
            pairs,
            NotableFigure::CostPerConversation,
            |day| counted_cost(day).dollars(),
            conversations,
            |amount| NotableValue::Usd(Usd::from_dollars(amount)),
        ),
    ];
    let of_answers = [
        rate(pairs, NotableFigure::ErrorRate, |day| day.answers.errors, |day| day.answers.events),
        ratio(
            pairs,
            NotableFigure::ResponseTime,
            |day| real(day.answers.response_time_ms),
            |day| day.answers.events,
            NotableValue::Milliseconds,
        ),
    ];
    let changes = of_facts.into_iter().filter(|_| are_known).chain(of_answers).flatten();
    changes.max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, notable)| notable)
}

/// A change that is no noise, and its size: the logarithm of how many times more or less it is.
type Found = Option<(f64, Notable)>;

fn count(pairs: &[Pair], figure: NotableFigure, of: impl Fn(&Day) -> i64) -> Found {
    let days: Vec<(i64, i64)> = pairs.iter().map(|pair| (of(&pair.now), of(&pair.before))).collect();
    let (now, before) = days.iter().fold((0, 0), |(now, before), day| (now + day.0, before + day.1));
    if before < LEAST_CASES || !is_told(test::counts(&days)) {
        return None;
    }
    let values = (NotableValue::Count(now), NotableValue::Count(before));
    let size = ((real(now) + 0.5) / (real(before) + 0.5)).ln();
    found(figure, values, (real(now), real(before)), size)
}

fn rate(
    pairs: &[Pair],
    figure: NotableFigure,
    part: impl Fn(&Day) -> i64,
    whole: impl Fn(&Day) -> i64,
) -> Found {
    let of = |day: &Day| (part(day), whole(day));
    let (now, before): (Vec<_>, Vec<_>) = pairs.iter().map(|pair| (of(&pair.now), of(&pair.before))).unzip();
    let sum = |days: &[(i64, i64)]| days.iter().fold((0, 0), |sum, day| (sum.0 + day.0, sum.1 + day.1));
    let (sum_now, sum_before) = (sum(&now), sum(&before));
    if sum_now.1.min(sum_before.1) < LEAST_CASES || !is_told(test::rates(&now, &before)) {
        return None;
    }
    let [now, before] = [sum_now, sum_before].map(|(part, whole)| Rate::of(part, whole));
    let (value_now, value_before) = (now.value?, before.value?);
    if (value_now - value_before).abs() < LEAST_DIFFERENCE {
        return None;
    }
    // Half a case more, for rates of 0.
    let adjusted = |rate: Rate<i64>| (real(rate.part) + 0.5) / (real(rate.whole) + 1.0);
    let size = (adjusted(now) / adjusted(before)).ln();
    let values = (NotableValue::Rate(now), NotableValue::Rate(before));
    found(figure, values, (value_now, value_before), size)
}

fn ratio(
    pairs: &[Pair],
    figure: NotableFigure,
    part: impl Fn(&Day) -> f64,
    whole: impl Fn(&Day) -> i64,
    value: impl Fn(f64) -> NotableValue,
) -> Found {
    let cases = |of: fn(&Pair) -> &Day| pairs.iter().map(|pair| whole(of(pair))).sum::<i64>();
    let parts = |of: fn(&Pair) -> &Day| pairs.iter().map(|pair| part(of(pair))).sum::<f64>();
    let (cases_now, cases_before) = (cases(|pair| &pair.now), cases(|pair| &pair.before));
    // A day without cases has no ratio.
    let of = |day: &Day| if whole(day) > 0 { part(day) / real(whole(day)) } else { 0.0 };
    let days: Vec<(f64, f64)> = pairs.iter().map(|pair| (of(&pair.now), of(&pair.before))).collect();
    if cases_now.min(cases_before) < LEAST_CASES || !is_told(test::ratios(&days)) {
        return None;
    }
    let now = parts(|pair| &pair.now) / real(cases_now);
    let before = parts(|pair| &pair.before) / real(cases_before);
    // Busy days may have changed the other way than most days did: then there is no plain word for it.
    let mean: f64 =
        days.iter().filter(|day| day.0 > 0.0 && day.1 > 0.0).map(|day| (day.0 / day.1).ln()).sum();
    let size = (now / before).ln();
    if !size.is_finite() || (size > 0.0) != (mean > 0.0) {
        return None;
    }
    found(figure, (value(now), value(before)), (now, before), size)
}

/// Returns a change if it is large enough. `size` is the logarithm of the quotient.
fn found(
    figure: NotableFigure,
    values: (NotableValue, NotableValue),
    (now, before): (f64, f64),
    size: f64,
) -> Found {
    let change = (before > 0.0).then(|| now / before - 1.0);
    if change.is_some_and(|change| change.abs() < LEAST_CHANGE) {
        return None;
    }
    let (is_more, (now, before)) = (now > before, values);
    Some((size.abs(), Notable { figure, now, before, change, is_more }))
}

/// Returns whether a change with this p-value is told. All figures are tested, and one of them may be wrong by chance: each gets its part of the
/// error (Bonferroni).
fn is_told(p: Option<f64>) -> bool {
    p.is_some_and(|p| p < MAX_ERROR / FIGURES)
}

#[expect(clippy::cast_precision_loss, reason = "sums stay below 2^53")]
const fn real(sum: i64) -> f64 {
    sum as f64
}
