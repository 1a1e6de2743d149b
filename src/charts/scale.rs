//! A scale from 0 to a round number, with round steps.

/// The most steps that an axis has: more would be too many lines to read.
const MAX_STEPS: f64 = 5.0;

/// An axis of values: from 0 to `top`, with a tick at each multiple of `step`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    /// The distance of two ticks: 1, 2 or 5 times a power of ten.
    pub(super) step: f64,
    /// The number of steps, from 1 to 5.
    pub(super) steps: u32,
}

impl Scale {
    /// Creates the smallest scale that has room for `largest`, in at most five steps.
    ///
    /// Steps are at least `finest`: 1 for things that are counted. What is no number, and what is not above 0, is taken as 0.
    pub(super) fn up_to(largest: f64, finest: f64) -> Self {
        let largest = if largest.is_finite() { largest.clamp(0.0, f64::MAX / 16.0) } else { 0.0 };
        let step = nice_above(largest / MAX_STEPS).max(finest);
        let steps = (1..=5).find(|&steps| step * f64::from(steps) >= largest * (1.0 - 1e-12)).unwrap_or(5);
        Self { step, steps }
    }

    /// Creates the scale that ends with the largest value, in one step.
    pub(super) fn to(largest: f64) -> Self {
        Self { step: if largest > 0.0 { largest } else { 1.0 }, steps: 1 }
    }

    /// The value at the upper end.
    pub(super) fn top(self) -> f64 {
        self.step * f64::from(self.steps)
    }

    /// Returns where a value is, from 0 at the bottom to 1 at the top; what lies outside is at the nearer end.
    pub(super) fn position(self, value: f64) -> f64 {
        (value / self.top()).clamp(0.0, 1.0)
    }

    /// Returns the values of the ticks, from 0 up.
    pub(super) fn ticks(self) -> impl Iterator<Item = f64> {
        (0..=self.steps).map(move |tick| self.step * f64::from(tick))
    }
}

/// Returns the smallest of 1, 2 and 5 times a power of ten that is not below `value`; 0 for 0.
fn nice_above(value: f64) -> f64 {
    // Smaller ones have no exact powers of ten around them.
    if value < 1e-300 {
        return 0.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let fits = |factor: &f64| factor * power >= value * (1.0 - 1e-12);
    power * [1.0, 2.0, 5.0].into_iter().find(fits).unwrap_or(10.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ticks(largest: f64, finest: f64) -> Vec<f64> {
        Scale::up_to(largest, finest).ticks().collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(ticks(3.0, 1.0), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(ticks(5.0, 1.0), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(ticks(6.0, 1.0), [0.0, 2.0, 4.0, 6.0]);
        assert_eq!(ticks(312.0, 1.0), [0.0, 100.0, 200.0, 300.0, 400.0]);
        assert_eq!(ticks(0.5, 0.01), [0.0, 0.1, 0.2, 0.1 * 3.0, 0.4, 0.5]);
        assert_eq!(ticks(1e18, 1.0), [0.0, 2e17, 4e17, 6e17, 8e17, 1e18]);
    }

    #[test]
    fn nothing_has_an_axis_too() {
        for nothing in [0.0, -3.0, f64::NAN, f64::INFINITY] {
            assert_eq!(ticks(nothing, 1.0), [0.0, 1.0], "{nothing}");
        }
        assert_eq!(ticks(0.4, 1.0), [0.0, 1.0], "nothing is counted in halves");
    }

    proptest! {
        #[test]
        fn every_value_is_on_the_scale(largest in 0.0..1e300_f64, finest in 1e-9..1.0_f64) {
            let scale = Scale::up_to(largest, finest);
            prop_assert!((1..=5).contains(&scale.steps));
            prop_assert!(scale.top() >= largest * (1.0 - 1e-9));
            prop_assert!(scale.top() <= (largest * 2.5).max(finest) * 1.000_001, "no more room than is needed");
            prop_assert!((0.0..=1.0).contains(&scale.position(largest)));
        }
    }
}
