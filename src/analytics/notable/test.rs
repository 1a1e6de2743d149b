//! Tests of whether two periods of days differ by more than noise. Each returns a two-sided p-value: how likely a difference of at least that size is
//! if nothing changed; `None` if too little is known to say. docs/analytics.md has the sources.

use std::f64::consts::FRAC_2_PI;

/// The smallest number of degrees of freedom: with fewer, the spread of days is hardly known.
const LEAST_FREEDOM: usize = 3;

/// The smallest number of cases that a cell may be expected to have: below it, the normal approximation is poor (Cochran, *Some methods for strengthening the common χ² tests*, 1954).
const LEAST_EXPECTED: f64 = 5.0;

/// Compares counts of days, each with its counterpart: the conditional test of two Poisson means, by its normal approximation. Given its sum, the count
/// of one is binomial; how much more the days spread than that widens it.
pub(super) fn counts(days: &[(i64, i64)]) -> Option<f64> {
    let days: Vec<(f64, f64)> = days
        .iter()
        .filter(|(now, before)| now + before > 0)
        .map(|(now, before)| (real(*now), real(*before)))
        .collect();
    let freedom = freedom(days.len(), 1)?;
    let (now, before) = days.iter().fold((0.0, 0.0), |(now, before), day| (now + day.0, before + day.1));
    let share = now / (now + before);
    let variance = share * (1.0 - share);
    let squares = days.iter().map(|(now, before)| {
        let sum = now + before;
        pearson(*now, sum * share, sum * variance)
    });
    let spread = (squares.sum::<f64>() / real_count(freedom)).max(1.0);
    Some(two_sided((now - before) / (spread * (now + before)).sqrt(), freedom))
}

/// Compares a rate, of which each day of the two periods has the part and the whole: the z-test of two proportions, widened by how much more the days
/// spread than coins of the same bias would.
pub(super) fn rates(now: &[(i64, i64)], before: &[(i64, i64)]) -> Option<f64> {
    let sum = |days: &[(i64, i64)]| {
        days.iter().fold((0.0, 0.0), |sum, day| (sum.0 + real(day.0), sum.1 + real(day.1)))
    };
    let ((part_now, whole_now), (part_before, whole_before)) = (sum(now), sum(before));
    let pooled = (part_now + part_before) / (whole_now + whole_before);
    if whole_now.min(whole_before) * pooled.min(1.0 - pooled) < LEAST_EXPECTED {
        return None;
    }
    let of_period = |days: &[(i64, i64)], rate: f64| {
        let squares = days.iter().map(|(part, whole)| {
            let whole = real(*whole);
            pearson(real(*part), whole * rate, whole * rate * (1.0 - rate))
        });
        squares.sum::<f64>()
    };
    let squares = of_period(now, part_now / whole_now) + of_period(before, part_before / whole_before);
    let cells = now.iter().chain(before).filter(|(_, whole)| *whole > 0).count();
    let freedom = freedom(cells, 2)?;
    let spread = (squares / real_count(freedom)).max(1.0);
    let variance = spread * pooled * (1.0 - pooled) * (1.0 / whole_now + 1.0 / whole_before);
    let difference = part_now / whole_now - part_before / whole_before;
    Some(two_sided(difference / variance.sqrt(), freedom))
}

/// Compares ratios of days, each with its counterpart: the paired t-test, of their logarithms, since response times and costs are skewed.
pub(super) fn ratios(days: &[(f64, f64)]) -> Option<f64> {
    let positive = days.iter().filter(|(now, before)| *now > 0.0 && *before > 0.0);
    let differences: Vec<f64> = positive.map(|(now, before)| (now / before).ln()).collect();
    let freedom = freedom(differences.len(), 1)?;
    let count = real_count(differences.len());
    let mean = differences.iter().sum::<f64>() / count;
    let squares: f64 = differences.iter().map(|difference| (difference - mean).powi(2)).sum();
    let error = (squares / real_count(freedom) / count).sqrt();
    // Days that all differ by the same are no accident, as after a change of prices.
    let differs_by_one_amount = error < mean.abs() * 1e-9;
    Some(if differs_by_one_amount {
        0.0
    } else if error == 0.0 {
        1.0
    } else {
        two_sided(mean / error, freedom)
    })
}

/// Returns the degrees of freedom of this many values when some were estimated; `None` if these are too few.
fn freedom(values: usize, estimated: usize) -> Option<usize> {
    values.checked_sub(estimated).filter(|freedom| *freedom >= LEAST_FREEDOM)
}

/// Returns the square of Pearson's residual; 0 where nothing can vary.
fn pearson(found: f64, expected: f64, variance: f64) -> f64 {
    if variance > 0.0 { (found - expected).powi(2) / variance } else { 0.0 }
}

/// Returns the two-sided p-value of Student's t (Abramowitz and Stegun, *Handbook of Mathematical Functions*, 26.7.3 and 26.7.4, which are exact).
fn two_sided(t: f64, freedom: usize) -> f64 {
    let angle = (t.abs() / real_count(freedom).sqrt()).atan();
    let (sine, cosine) = angle.sin_cos();
    let is_odd = freedom % 2 == 1;
    let (mut term, mut sum) = (if is_odd { cosine } else { 1.0 }, 0.0);
    let mut step = usize::from(is_odd);
    while step + 2 <= freedom {
        sum += term;
        term *= cosine * cosine * real_count(step + 1) / real_count(step + 2);
        step += 2;
    }
    let within = if is_odd { FRAC_2_PI * (angle + sine * sum) } else { sine * sum };
    (1.0 - within).clamp(0.0, 1.0)
}

#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
const fn real(count: i64) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "there are at most 366 days")]
const fn real_count(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_values_are_those_of_the_tables() {
        for (t, freedom, expected) in [
            (0.0, 4, 1.0),
            (12.706, 1, 0.05),
            (4.303, 2, 0.05),
            (3.182, 3, 0.05),
            (5.841, 3, 0.01),
            (-4.604, 4, 0.01),
            (4.032, 5, 0.01),
            (2.660, 60, 0.01),
            (2.589, 365, 0.01),
        ] {
            let found = two_sided(t, freedom);
            assert!((found - expected).abs() < expected * 0.01, "{t} {freedom}: {found}");
        }
    }

    #[test]
    fn days_that_spread_widen_the_test() {
        let steady = counts(&[(15, 10); 20]).unwrap();
        let spread: Vec<(i64, i64)> = (0..10).flat_map(|_| [(30, 0), (0, 20)]).collect();
        assert!(steady < 0.001, "{steady}");
        assert!(counts(&spread).unwrap() > 0.3);
        let (steady, burst) = ([(2, 10); 8], [(16, 20), (0, 60)]);
        let before = [(1, 20); 8];
        assert!(rates(&steady, &before).unwrap() < rates(&burst, &before).unwrap());
    }

    #[test]
    fn of_too_little_nothing_is_said() {
        assert_eq!(counts(&[(10, 90), (10, 90), (10, 90)]), None);
        assert_eq!(counts(&[(10, 90), (10, 90), (10, 90), (0, 0), (0, 0)]), None, "closed days tell nothing");
        assert_eq!(rates(&[(0, 4); 5], &[(1, 4); 5]), None);
        assert_eq!(rates(&[(0, 0); 5], &[(0, 0); 5]), None);
        assert_eq!(ratios(&[(2.0, 1.0), (0.0, 1.0), (2.0, 1.0), (2.0, 1.0)]), None);
        assert_eq!(ratios(&[(2.0, 2.0); 4]), Some(1.0));
        assert_eq!(ratios(&[(3.0, 2.0); 4]), Some(0.0));
    }
}
