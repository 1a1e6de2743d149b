//! Builders of metric families from values kept elsewhere.

use prometheus::core::Desc;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

/// A family under construction.
pub(super) struct Family {
    family: MetricFamily,
    labels: &'static [&'static str],
}

/// The fixed part of a family.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spec {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) labels: &'static [&'static str],
    pub(super) kind: MetricType,
}

impl Spec {
    /// Returns the description that the registry checks for uniqueness.
    pub(super) fn desc(&self) -> Desc {
        let labels = self.labels.iter().map(|label| (*label).to_owned()).collect();
        Desc::new(self.name.to_owned(), self.help.to_owned(), labels, std::collections::HashMap::new())
            .expect("names are valid")
    }

    /// Returns an empty family.
    pub(super) fn family(&self) -> Family {
        let mut family = MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_owned());
        family.set_field_type(self.kind);
        Family { family, labels: self.labels }
    }
}

impl Family {
    /// Adds a series of a counter or gauge; `values` are the label values, in order.
    #[must_use]
    pub(super) fn with(mut self, values: &[&str], value: f64) -> Self {
        let mut metric = self.labelled(values);
        if self.family.get_field_type() == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.family.mut_metric().push(metric);
        self
    }

    /// Adds the only series of a histogram; `buckets` are upper bounds, each with the number of samples in
    /// that bucket alone, not cumulative.
    #[must_use]
    pub(super) fn with_histogram(
        mut self,
        buckets: impl Iterator<Item = (f64, u64)>,
        count: u64,
        sum: f64,
    ) -> Self {
        let mut below = 0;
        let cumulative = buckets.map(|(upper_bound, own)| {
            below += own;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(upper_bound);
            bucket.set_cumulative_count(below);
            bucket
        });
        let mut histogram = Histogram::default();
        histogram.set_bucket(cumulative.collect());
        histogram.set_sample_count(count);
        histogram.set_sample_sum(sum);
        let mut metric = self.labelled(&[]);
        metric.set_histogram(histogram);
        self.family.mut_metric().push(metric);
        self
    }

    pub(super) fn build(self) -> MetricFamily {
        self.family
    }

    fn labelled(&self, values: &[&str]) -> Metric {
        let pairs = self.labels.iter().zip(values).map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        });
        Metric::from_label(pairs.collect())
    }
}
