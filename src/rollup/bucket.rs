//! The buckets of response times: those of the histogram in `/metrics`, and finer ones for percentiles.

use super::sums::Sum;

/// The buckets of `ai_response_time_seconds`: the upper bound in milliseconds, and the sum that counts its events.
pub const HISTOGRAM: [(i32, Sum); 6] = [
    (100, Sum::Within100Ms),
    (500, Sum::Within500Ms),
    (1_000, Sum::Within1S),
    (2_000, Sum::Within2S),
    (5_000, Sum::Within5S),
    (10_000, Sum::Within10S),
];

/// The relative error of percentiles computed from latency buckets.
const LATENCY_ERROR: f64 = 0.01;

/// The latency bucket of a response time of 0 ms, which has no logarithm.
const LATENCY_ZERO: i16 = -1;

/// Returns the sum of the [`HISTOGRAM`] bucket that contains `ms`; `None` above the last bound.
#[must_use]
pub fn histogram_bucket(ms: i32) -> Option<Sum> {
    HISTOGRAM.into_iter().find(|(bound, _)| ms <= *bound).map(|(_, sum)| sum)
}

/// Returns the logarithmic bucket of a response time: bucket `i` has γ^(i−1) < ms ≤ γ^i with γ = (1 + e) / (1 − e),
/// so that one value represents the whole bucket with an error of at most e = 1 %. This is the mapping of
/// `DDSketch` (Masson, Rim and Lee, VLDB 2019).
#[must_use]
pub fn latency_bucket(ms: i32) -> i16 {
    if ms <= 0 {
        return LATENCY_ZERO;
    }
    let gamma = (1.0 + LATENCY_ERROR) / (1.0 - LATENCY_ERROR);
    #[expect(clippy::cast_possible_truncation, reason = "the bucket of the largest i32 is 1075")]
    let bucket = (f64::from(ms).ln() / f64::ln(gamma)).ceil() as i16;
    bucket
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_own_histogram_bucket() {
        let buckets = [
            (0, Some(Sum::Within100Ms)),
            (100, Some(Sum::Within100Ms)),
            (101, Some(Sum::Within500Ms)),
            (10_000, Some(Sum::Within10S)),
            (10_001, None),
            (i32::MAX, None),
        ];
        for (ms, bucket) in buckets {
            assert_eq!(histogram_bucket(ms), bucket, "{ms} ms");
        }
    }

    #[test]
    fn a_latency_bucket_is_exact_to_one_percent() {
        let gamma = (1.0 + LATENCY_ERROR) / (1.0 - LATENCY_ERROR);
        for ms in (1..100_000).chain([i32::MAX]) {
            let estimate = 2.0 * f64::powi(gamma, latency_bucket(ms).into()) / (gamma + 1.0);
            let error = (estimate - f64::from(ms)).abs() / f64::from(ms);
            assert!(error <= LATENCY_ERROR * 1.000_001, "{ms} ms estimated as {estimate}");
        }
    }
}
