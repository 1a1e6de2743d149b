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

/// Returns the response time in milliseconds that represents all those of a [`latency_bucket`], at most 1 % off any of them:
/// 2γ^i / (γ + 1) for bucket `i` (`DDSketch`, as above), and 0 for that of 0 ms. Below 50 ms a bucket has at most one whole number of milliseconds,
/// which is returned exactly; above, the value is rounded to nanoseconds.
#[must_use]
pub fn bucket_latency(bucket: i16) -> f64 {
    if bucket <= LATENCY_ZERO {
        return 0.0;
    }
    let gamma = (1.0 + LATENCY_ERROR) / (1.0 - LATENCY_ERROR);
    let estimate = 2.0 * gamma.powi(bucket.into()) / (gamma + 1.0);
    if estimate < 50.0 { estimate.round() } else { (estimate * 1e6).round() / 1e6 }
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
        assert_eq!(bucket_latency(latency_bucket(0)).to_bits(), 0);
        for ms in (1..100_000).chain([i32::MAX]) {
            let estimate = bucket_latency(latency_bucket(ms));
            let error = (estimate - f64::from(ms)).abs() / f64::from(ms);
            assert!(error <= LATENCY_ERROR * 1.000_001, "{ms} ms estimated as {estimate}");
        }
    }
}
