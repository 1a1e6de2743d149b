//! The totals of all tracked events, in memory, in the shape in which `/metrics` exports them.

use std::collections::{BTreeMap, BTreeSet};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{MetricFamily, MetricType};
use strum::VariantArray;

use super::SharedTotals;
use super::family::Spec;
use crate::rollup::{ERROR_RESPONSE, HISTOGRAM, Key, Sum, Sums};

/// The label value that stands for all values after a label is full.
const OTHER: &str = "other";

/// The maximum number of distinct models, intents and response types with label values of their own.
const MAX_KINDS: usize = 100;

/// A label whose values come from callers, in the order of a key's parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray)]
pub enum Label {
    /// See [`Key::business_id`].
    Business,
    /// See [`Key::model_name`].
    Model,
    /// See [`Key::intent_detected`].
    Intent,
    /// See [`Key::response_type`].
    ResponseType,
}

impl Label {
    /// Returns the name of the label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Business => "business_id",
            Self::Model => "model_name",
            Self::Intent => "intent",
            Self::ResponseType => "response_type",
        }
    }
}

/// Sums over all events, by the labels of the families.
#[derive(Debug, Clone)]
pub struct Totals {
    labels: [LabelValues; Label::VARIANTS.len()],
    all: Sums,
    by_answer: BTreeMap<[String; 3], i64>,
    by_model: BTreeMap<[String; 2], Sums>,
    by_business: BTreeMap<String, Business>,
}

/// The sums of a business.
#[derive(Debug, Clone, Default)]
struct Business {
    all: Sums,
    /// Those of [`Sum::Handoffs`] that followed an error.
    handoffs_after_error: i64,
}

impl Totals {
    /// Creates empty totals. At most `max_businesses` businesses get label values of their own.
    #[must_use]
    pub fn new(max_businesses: usize) -> Self {
        let max = |label| if label == Label::Business { max_businesses } else { MAX_KINDS };
        Self {
            labels: std::array::from_fn(|label| LabelValues::new(max(Label::VARIANTS[label]))),
            all: Sums::default(),
            by_answer: BTreeMap::new(),
            by_model: BTreeMap::new(),
            by_business: BTreeMap::new(),
        }
    }

    /// Returns the maximum number of values of `label`.
    #[must_use]
    pub fn max_values(&self, label: Label) -> usize {
        self.labels[label as usize].max
    }

    /// Reserves label values, in order, as far as `label` has room.
    pub fn show(&mut self, label: Label, values: impl IntoIterator<Item = String>) {
        values.into_iter().for_each(|value| self.labels[label as usize].show(value));
    }

    /// Returns the values among `keys` that `label` does not have yet but has room for.
    #[must_use]
    pub fn new_values<'k>(&self, label: Label, keys: impl Iterator<Item = &'k Key>) -> Vec<String> {
        let values = &self.labels[label as usize];
        let parts = keys.map(|key| key.parts()[label as usize]);
        let new: BTreeSet<&str> = parts.filter(|value| !values.is_full() && !values.shows(value)).collect();
        new.into_iter().map(ToOwned::to_owned).collect()
    }

    /// Adds the sums of one key. Values without a label value of their own count as `other`.
    pub fn add(&mut self, key: &Key, sums: &Sums) {
        let parts = key.parts();
        let [business, model, intent, response_type] =
            std::array::from_fn(|label| self.labels[label].label(parts[label], sums[Sum::Events]));
        self.all.add(sums);
        *self.by_answer.entry([business.clone(), response_type, intent]).or_default() += sums[Sum::Events];
        self.by_model.entry([business.clone(), model]).or_default().add(sums);
        let business = self.by_business.entry(business).or_default();
        business.all.add(sums);
        if key.response_type == ERROR_RESPONSE {
            business.handoffs_after_error += sums[Sum::Handoffs];
        }
    }

    /// Returns the labels with values that count as `other`.
    pub fn full_labels(&self) -> impl Iterator<Item = Label> {
        Label::VARIANTS.iter().copied().filter(|label| self.labels[*label as usize].folded > 0)
    }
}

/// The values of one label, up to a maximum.
#[derive(Debug, Clone)]
struct LabelValues {
    max: usize,
    values: BTreeSet<String>,
    /// The number of events whose value counts as `other`.
    folded: i64,
}

impl LabelValues {
    const fn new(max: usize) -> Self {
        Self { max, values: BTreeSet::new(), folded: 0 }
    }

    fn is_full(&self) -> bool {
        self.values.len() >= self.max
    }

    fn shows(&self, value: &str) -> bool {
        self.values.contains(value)
    }

    fn show(&mut self, value: String) {
        if !self.is_full() {
            self.values.insert(value);
        }
    }

    fn label(&mut self, value: &str, events: i64) -> String {
        if self.shows(value) {
            return value.to_owned();
        }
        self.folded += events;
        OTHER.to_owned()
    }
}

const RESPONSE_TIME: Spec = Spec {
    name: "ai_response_time_seconds",
    help: "Time the AI took to answer.",
    labels: &[],
    kind: MetricType::HISTOGRAM,
};
const REQUESTS: Spec = Spec {
    name: "ai_requests_total",
    help: "AI interactions tracked.",
    labels: &["business_id", "response_type", "intent"],
    kind: MetricType::COUNTER,
};
const SUCCESS_RATE: Spec = Spec {
    name: "ai_success_rate",
    help: "Success rate that was sent last, between 0 and 1.",
    labels: &["business_id"],
    kind: MetricType::GAUGE,
};
const TOKENS: Spec = Spec {
    name: "ai_tokens_used_total",
    help: "Tokens of prompts and completions.",
    labels: &["business_id", "model_name"],
    kind: MetricType::COUNTER,
};
const COST: Spec = Spec {
    name: "ai_api_cost_usd_total",
    help: "Cost of the AI's API in US dollars.",
    labels: &["business_id", "model_name"],
    kind: MetricType::COUNTER,
};
const REQUESTED: Spec = Spec {
    name: "appointments_requested_total",
    help: "Interactions in which an appointment was requested.",
    labels: &["business_id"],
    kind: MetricType::COUNTER,
};
const BOOKED: Spec = Spec {
    name: "appointments_booked_total",
    help: "Interactions in which an appointment was booked.",
    labels: &["business_id"],
    kind: MetricType::COUNTER,
};
const HANDOFFS: Spec = Spec {
    name: "human_handoffs_total",
    help: "Interactions that were handed to a person, by reason.",
    labels: &["business_id", "reason"],
    kind: MetricType::COUNTER,
};
const FOLDED: Spec = Spec {
    name: "metrics_folded_events_total",
    help: "AI interactions of which a label shows \"other\" because it has as many values as it may have, by label.",
    labels: &["label"],
    kind: MetricType::COUNTER,
};
const SYSTEM_INFO: Spec = Spec {
    name: "ai_system_info_info",
    help: "Always 1; its labels tell what is running.",
    labels: &["service", "version", "monitoring"],
    kind: MetricType::GAUGE,
};

/// Exports the AI families from the totals, all as of the same moment.
pub(super) struct TotalsCollector {
    totals: SharedTotals,
    descs: Vec<Desc>,
}

impl TotalsCollector {
    pub(super) fn new(totals: SharedTotals) -> Self {
        let specs = [
            RESPONSE_TIME,
            REQUESTS,
            SUCCESS_RATE,
            TOKENS,
            COST,
            REQUESTED,
            BOOKED,
            HANDOFFS,
            FOLDED,
            SYSTEM_INFO,
        ];
        Self { totals, descs: specs.iter().map(Spec::desc).collect() }
    }
}

impl Collector for TotalsCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let info = ["ai-appointment-setter", env!("CARGO_PKG_VERSION"), "prometheus"];
        let mut families = vec![SYSTEM_INFO.family().with(&info, 1.0).build()];
        if let Some(totals) = self.totals.read().as_ref() {
            families.extend(totals.families());
        }
        families
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus' numbers are doubles; sums stay far below 2^53")]
impl Totals {
    fn families(&self) -> [MetricFamily; 9] {
        [
            self.response_times(),
            family(REQUESTS, &self.by_answer, |of, ([business, response_type, intent], events)| {
                of.with(&[business, response_type, intent], *events as f64)
            }),
            family(SUCCESS_RATE, &self.by_business, |of, (id, business)| match business.all.last_success {
                Some(last) => of.with(&[id], last.rate),
                None => of,
            }),
            family(TOKENS, &self.by_model, |of, ([business, model], sums)| {
                of.with(&[business, model], sums[Sum::Tokens] as f64)
            }),
            family(COST, &self.by_model, |of, ([business, model], sums)| {
                of.with(&[business, model], sums[Sum::CostMicros] as f64 / 1e6)
            }),
            family(REQUESTED, &self.by_business, |of, (id, business)| {
                of.with(&[id], business.all[Sum::AppointmentsRequested] as f64)
            }),
            family(BOOKED, &self.by_business, |of, (id, business)| {
                of.with(&[id], business.all[Sum::AppointmentsBooked] as f64)
            }),
            family(HANDOFFS, &self.by_business, |of, (id, business)| {
                let after_error = business.handoffs_after_error;
                of.with(&[id, "complex_query"], (business.all[Sum::Handoffs] - after_error) as f64)
                    .with(&[id, ERROR_RESPONSE], after_error as f64)
            }),
            family(FOLDED, Label::VARIANTS.iter().copied(), |of, label| {
                of.with(&[label.name()], self.labels[label as usize].folded as f64)
            }),
        ]
    }

    fn response_times(&self) -> MetricFamily {
        let buckets = HISTOGRAM
            .into_iter()
            .map(|(bound_ms, sum)| (f64::from(bound_ms) / 1_000.0, self.all[sum].cast_unsigned()));
        let (seconds, events) = (self.all[Sum::ResponseTimeMs] as f64 / 1_000.0, self.all[Sum::Events]);
        RESPONSE_TIME.family().with_histogram(buckets, events.cast_unsigned(), seconds).build()
    }
}

/// Returns a family to which `add` has added each of `rows`.
fn family<I: IntoIterator>(
    spec: Spec,
    rows: I,
    add: impl Fn(super::family::Family, I::Item) -> super::family::Family,
) -> MetricFamily {
    rows.into_iter().fold(spec.family(), add).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_values_of_a_label_are_shown_and_the_rest_is_other() {
        let mut values = LabelValues::new(2);
        for value in ["a", "b", "c", "a"] {
            values.show(value.to_owned());
        }
        let labels = ["a", "b", "c", "a", "d", "b"].map(|value| values.label(value, 10));
        assert_eq!(labels, ["a", "b", OTHER, "a", OTHER, "b"]);
        assert_eq!(values.folded, 20);
    }
}
