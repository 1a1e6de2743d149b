//! Rates, which show what they were computed from.

use serde::Serialize;
use utoipa::ToSchema;

use super::Usd;

/// A part of a whole, with both.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct Rate<T> {
    /// `part` ÷ `whole`; `None` if `whole` is 0.
    #[schema(required)]
    pub value: Option<f64>,
    /// The numerator.
    pub part: T,
    /// The denominator.
    pub whole: T,
}

impl Rate<i64> {
    /// Returns the rate of two counts.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
    pub fn of(part: i64, whole: i64) -> Self {
        Self { value: (whole != 0).then(|| part as f64 / whole as f64), part, whole }
    }

    /// Returns how much a count changed, as a rate of what it was.
    #[must_use]
    pub fn change(now: i64, before: i64) -> Self {
        Self::of(now - before, before)
    }
}

impl Rate<Usd> {
    /// Returns the rate of two amounts.
    #[must_use]
    pub fn of_amounts(part: Usd, whole: Usd) -> Self {
        let value = (whole != Usd::default()).then(|| part.dollars() / whole.dollars());
        Self { value, part, whole }
    }

    /// Returns how much an amount changed, as a rate of what it was.
    #[must_use]
    pub fn change_of_amount(now: Usd, before: Usd) -> Self {
        Self::of_amounts(now - before, before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_of_nothing_has_no_value() {
        assert_eq!(Rate::of(3, 6), Rate { value: Some(0.5), part: 3, whole: 6 });
        assert_eq!(Rate::of(0, 0).value, None);
        assert_eq!(Rate::change(7, 0), Rate { value: None, part: 7, whole: 0 });
        assert_eq!(Rate::change(3, 4).value, Some(-0.25));
        assert_eq!(Rate::of_amounts(Usd::from_micros(1), Usd::default()).value, None);
        let drift = Rate::change_of_amount(Usd::from_micros(20), Usd::from_micros(16));
        assert_eq!(drift.value, Some(0.25));
    }
}
