//! Response times, counted by logarithmic bucket, and their percentiles.

use std::collections::BTreeMap;

use super::bucket::bucket_latency;

/// Counts of response times by [`super::latency_bucket`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Latencies(BTreeMap<i16, i64>);

impl Latencies {
    /// Adds `count` response times of a bucket.
    pub fn add(&mut self, bucket: i16, count: i64) {
        *self.0.entry(bucket).or_default() += count;
    }

    /// Adds those of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.0 {
            self.add(*bucket, *count);
        }
    }

    /// Returns the number of buckets that have a count.
    #[must_use]
    pub fn buckets(&self) -> usize {
        self.0.len()
    }

    /// Returns the percentile `percent`, from 1 to 100, in milliseconds, at most 1 % off; `None` if nothing was counted.
    ///
    /// It is that of the nearest rank: the smallest response time that at least `percent` % of all do not exceed, the one of rank
    /// ⌈`percent` × n ÷ 100⌉ in ascending order.
    #[must_use]
    pub fn percentile(&self, percent: u8) -> Option<f64> {
        let total: i64 = self.0.values().sum();
        let rank = total.saturating_mul(percent.into()).saturating_add(99) / 100;
        let mut seen = 0;
        let mut up_to = self.0.iter().filter(|(_, count)| **count > 0).map(|(bucket, count)| {
            seen += count;
            (*bucket, seen)
        });
        up_to.find(|(_, seen)| *seen >= rank).map(|(bucket, _)| bucket_latency(bucket))
    }
}

impl FromIterator<(i16, i64)> for Latencies {
    fn from_iter<I: IntoIterator<Item = (i16, i64)>>(counts: I) -> Self {
        let mut latencies = Self::default();
        for (bucket, count) in counts {
            latencies.add(bucket, count);
        }
        latencies
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rollup::latency_bucket;

    fn of(times: &[i32]) -> Latencies {
        times.iter().map(|ms| (latency_bucket(*ms), 1)).collect()
    }

    #[test]
    fn the_nearest_rank_counts() {
        let five = of(&[15, 20, 35, 40, 50]);
        for (percent, expected) in [(5, 15.0), (30, 20.0), (40, 20.0), (50, 35.0), (100, 50.0)] {
            let found = five.percentile(percent).unwrap();
            assert!((found - expected).abs() <= expected * 0.01, "p{percent} is {found}");
        }
        assert_eq!(Latencies::default().percentile(50), None);
        assert_eq!(of(&[0, 0, 0]).percentile(99), Some(0.0));
    }

    proptest! {
        #[test]
        fn a_percentile_is_at_most_one_percent_off(
            mut times in proptest::collection::vec(prop_oneof![0..100, 0..20_000, 0..i32::MAX], 1..300),
            split in 0_usize..300,
            percent in 1_u8..=100,
        ) {
            let (first, rest) = times.split_at(split.min(times.len()));
            let mut latencies = of(first);
            latencies.merge(&of(rest));
            let found = latencies.percentile(percent).unwrap();
            times.sort_unstable();
            let rank = (times.len() * usize::from(percent)).div_ceil(100);
            let exact = f64::from(times[rank - 1]);
            prop_assert!((found - exact).abs() <= exact * 0.010_000_1, "p{} of {} is {}", percent, exact, found);
        }
    }
}
