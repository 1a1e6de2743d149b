//! The totals of everything ever tracked, in memory, in the shape in which `/metrics` shows them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{MetricFamily, MetricType};

use super::SharedTotals;
use super::family::Spec;
use crate::rollup::{BUCKET_BOUNDS_MS, ERROR_RESPONSE, Key, LastSuccess, Sums, newest};

/// The label value of everything that came after a label was full.
const OTHER: &str = "other";

/// Distinct models, intents and response types that have label values of their own.
const MAX_KINDS: usize = 100;

/// Sums over all events, by the labels of the families.
#[derive(Debug, Clone)]
pub struct Totals {
    businesses: LabelValues,
    models: LabelValues,
    intents: LabelValues,
    response_types: LabelValues,
    all: Sums,
    by_answer: BTreeMap<[String; 3], i64>,
    by_model: BTreeMap<[String; 2], Spent>,
    by_business: BTreeMap<String, Business>,
}

#[derive(Debug, Clone, Default)]
struct Spent {
    tokens: i64,
    cost_micros: i64,
}

#[derive(Debug, Clone, Default)]
struct Business {
    appointments_requested: i64,
    appointments_booked: i64,
    handoffs_after_error: i64,
    handoffs_of_complex_query: i64,
    last_success: Option<LastSuccess>,
}

impl Totals {
    /// No events yet. At most `max_businesses` businesses get label values of their own.
    #[must_use]
    pub fn new(max_businesses: usize) -> Self {
        Self {
            businesses: LabelValues::new(max_businesses),
            models: LabelValues::new(MAX_KINDS),
            intents: LabelValues::new(MAX_KINDS),
            response_types: LabelValues::new(MAX_KINDS),
            all: Sums::default(),
            by_answer: BTreeMap::new(),
            by_model: BTreeMap::new(),
            by_business: BTreeMap::new(),
        }
    }

    /// Adds the sums of one key. Label values are given out in the order in which keys are added.
    pub fn add(&mut self, key: &Key, sums: &Sums) {
        let business = self.businesses.label(&key.business_id);
        let model = self.models.label(&key.model_name);
        let intent = self.intents.label(&key.intent_detected);
        let response_type = self.response_types.label(&key.response_type);
        self.all.add(sums);
        *self.by_answer.entry([business.clone(), response_type, intent]).or_default() += sums.events;
        let spent = self.by_model.entry([business.clone(), model]).or_default();
        spent.tokens += sums.tokens;
        spent.cost_micros += sums.cost_micros;
        let business = self.by_business.entry(business).or_default();
        business.appointments_requested += sums.appointments_requested;
        business.appointments_booked += sums.appointments_booked;
        match key.response_type == ERROR_RESPONSE {
            true => business.handoffs_after_error += sums.handoffs,
            false => business.handoffs_of_complex_query += sums.handoffs,
        }
        business.last_success = newest(business.last_success, sums.last_success);
    }
}

/// The values of one label, up to a maximum; the first ones to come keep theirs.
#[derive(Debug, Clone)]
struct LabelValues {
    max: usize,
    values: BTreeSet<String>,
}

impl LabelValues {
    const fn new(max: usize) -> Self {
        Self { max, values: BTreeSet::new() }
    }

    fn label(&mut self, value: &str) -> String {
        if !self.values.contains(value) {
            if self.values.len() >= self.max {
                return OTHER.to_owned();
            }
            self.values.insert(value.to_owned());
        }
        value.to_owned()
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
const SYSTEM_INFO: Spec = Spec {
    name: "ai_system_info_info",
    help: "Always 1; its labels tell what is running.",
    labels: &["service", "version", "monitoring"],
    kind: MetricType::GAUGE,
};

/// Draws the AI families from the totals, all from the same moment.
pub(super) struct TotalsCollector {
    totals: SharedTotals,
    descs: Vec<Desc>,
}

impl TotalsCollector {
    pub(super) fn new(totals: SharedTotals) -> Self {
        let specs =
            [RESPONSE_TIME, REQUESTS, SUCCESS_RATE, TOKENS, COST, REQUESTED, BOOKED, HANDOFFS, SYSTEM_INFO];
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
        if let Some(totals) = self.totals.read().unwrap_or_else(PoisonError::into_inner).as_ref() {
            families.extend(totals.families());
        }
        families
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus' numbers are doubles; sums stay far below 2^53")]
impl Totals {
    fn families(&self) -> [MetricFamily; 8] {
        [
            self.response_times(),
            family(REQUESTS, &self.by_answer, |of, ([business, response_type, intent], events)| {
                of.with(&[business, response_type, intent], *events as f64)
            }),
            family(SUCCESS_RATE, &self.by_business, |of, (id, business)| match business.last_success {
                Some(last) => of.with(&[id], last.rate),
                None => of,
            }),
            family(TOKENS, &self.by_model, |of, ([business, model], spent)| {
                of.with(&[business, model], spent.tokens as f64)
            }),
            family(COST, &self.by_model, |of, ([business, model], spent)| {
                of.with(&[business, model], spent.cost_micros as f64 / 1e6)
            }),
            family(REQUESTED, &self.by_business, |of, (id, business)| {
                of.with(&[id], business.appointments_requested as f64)
            }),
            family(BOOKED, &self.by_business, |of, (id, business)| {
                of.with(&[id], business.appointments_booked as f64)
            }),
            family(HANDOFFS, &self.by_business, |of, (id, business)| {
                of.with(&[id, "complex_query"], business.handoffs_of_complex_query as f64)
                    .with(&[id, ERROR_RESPONSE], business.handoffs_after_error as f64)
            }),
        ]
    }

    fn response_times(&self) -> MetricFamily {
        let bounds = BUCKET_BOUNDS_MS.map(|ms| f64::from(ms) / 1_000.0);
        let buckets = bounds.into_iter().zip(self.all.within.map(i64::cast_unsigned));
        let sum = self.all.response_time_ms as f64 / 1_000.0;
        RESPONSE_TIME.family().with_histogram(buckets, self.all.events.cast_unsigned(), sum).build()
    }
}

/// A family with what `add` adds for each of `rows`.
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
    fn the_first_values_of_a_label_keep_theirs_and_the_rest_is_other() {
        let mut values = LabelValues::new(2);
        let labels = ["a", "b", "c", "a", "d", "b"].map(|value| values.label(value));
        assert_eq!(labels, ["a", "b", OTHER, "a", OTHER, "b"]);
    }
}
