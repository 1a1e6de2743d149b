//! The totals of all tracked events, in memory, in the shape in which `/metrics` exports them.

use std::collections::BTreeMap;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{MetricFamily, MetricType};
use strum::VariantArray;

use super::SharedTotals;
use super::family::Spec;
use super::series::{Bounds, Series, SeriesKind, ShownSeries};
use crate::rollup::{ERROR_RESPONSE, HISTOGRAM, Key, Sum, Sums};

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
    shown: ShownSeries,
    /// The number of events whose value of a label counts as `other`.
    folded: [i64; Label::VARIANTS.len()],
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
        Self {
            shown: ShownSeries::new(max_businesses),
            folded: Default::default(),
            all: Sums::default(),
            by_answer: BTreeMap::new(),
            by_model: BTreeMap::new(),
            by_business: BTreeMap::new(),
        }
    }

    /// Shows `series`, in order, as far as there is room.
    pub fn show(&mut self, series: impl IntoIterator<Item = Series>) {
        self.shown.show(series);
    }

    /// Shows `series` that are stored, in order, however many there are.
    pub fn show_stored(&mut self, series: impl IntoIterator<Item = Series>) {
        self.shown.show_stored(series);
    }

    /// Returns the series for `keys` that are not shown yet but have room, with the bounds of how many there may be.
    #[must_use]
    pub fn new_series<'k>(&self, keys: &(impl Iterator<Item = &'k Key> + Clone)) -> Vec<(Series, Bounds)> {
        self.shown.new_series(keys)
    }

    /// Returns whether a business has a label value of its own.
    #[must_use]
    pub fn shows(&self, business_id: &str) -> bool {
        self.shown.shows(business_id)
    }

    /// Adds the sums of one key. Values without a place count as `other`.
    pub fn add(&mut self, key: &Key, sums: &Sums) {
        let labels = self.shown.labels(key);
        for ((folded, label), value) in self.folded.iter_mut().zip(labels.parts()).zip(key.parts()) {
            *folded += if label == value { 0 } else { sums[Sum::Events] };
        }
        let Key { business_id, model_name, intent_detected, response_type } = labels;
        self.all.add(sums);
        let answer = [business_id.clone(), response_type, intent_detected];
        *self.by_answer.entry(answer).or_default() += sums[Sum::Events];
        self.by_model.entry([business_id.clone(), model_name]).or_default().add(sums);
        let business = self.by_business.entry(business_id).or_default();
        business.all.add(sums);
        if key.response_type == ERROR_RESPONSE {
            business.handoffs_after_error += sums[Sum::Handoffs];
        }
    }

    /// Returns the labels under which a business and, if it is of a model, the model count; `None` while they are not shown although there
    /// is room for them.
    pub(super) fn settled_labels(&self, key: &Key, of_model: bool) -> Option<Key> {
        let new = self.shown.new_series(&std::iter::once(key));
        let is_new = |kind| new.iter().any(|(series, _)| series.kind == kind);
        let unsettled = is_new(SeriesKind::Business) || of_model && is_new(SeriesKind::Models);
        (!unsettled).then(|| self.shown.labels(key))
    }

    /// Returns the labels with values that count as `other`.
    pub fn full_labels(&self) -> impl Iterator<Item = Label> {
        Label::VARIANTS.iter().copied().filter(|label| self.folded[*label as usize] > 0)
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
                of.with(&[label.name()], self.folded[label as usize] as f64)
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
pub(super) fn family<I: IntoIterator>(
    spec: Spec,
    rows: I,
    add: impl Fn(super::family::Family, I::Item) -> super::family::Family,
) -> MetricFamily {
    rows.into_iter().fold(spec.family(), add).build()
}
