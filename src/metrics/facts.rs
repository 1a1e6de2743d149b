//! Metrics of what the service adds up beside the rollups: conversations, computed costs and outcomes.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{MetricFamily, MetricType};

use super::family::Spec;
use super::totals::family;
use super::{SharedTotals, Totals};
use crate::conversation::{FactTotals, TotalKind};
use crate::rollup::Key;

const CONVERSATIONS: Spec = Spec {
    name: "ai_conversations_total",
    help: "Conversations with at least one stored answer.",
    labels: &["business_id"],
    kind: MetricType::COUNTER,
};
const COMPUTED_COST: Spec = Spec {
    name: "ai_computed_cost_usd_total",
    help: "Cost in US dollars that the price table makes of prompt and completion tokens.",
    labels: &["business_id", "model_name"],
    kind: MetricType::COUNTER,
};
const OUTCOMES: Spec = Spec {
    name: "ai_outcomes_total",
    help: "Outcomes of conversations that were posted or read from the app's appointments.",
    labels: &["business_id", "outcome"],
    kind: MetricType::COUNTER,
};

/// Amounts by kind and labels.
type Amounts = BTreeMap<(TotalKind, [String; 2]), i64>;

/// The amounts as last read from the store.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// `None` until they have been read.
    read: Option<FactTotals>,
    /// The same by the labels that are shown; `None` until a scrape needs them.
    shown: Option<Amounts>,
}

impl Facts {
    /// Replaces the amounts.
    pub(super) fn replace(&mut self, read: FactTotals) {
        *self = Self { read: Some(read), shown: None };
    }
}

/// See [`Facts`].
pub(super) type SharedFacts = Arc<Mutex<Facts>>;

/// Exports the amounts, with the labels that the totals show.
pub(super) struct FactsCollector {
    facts: SharedFacts,
    totals: SharedTotals,
    descs: Vec<Desc>,
}

impl FactsCollector {
    pub(super) fn new(facts: SharedFacts, totals: SharedTotals) -> Self {
        Self {
            facts,
            totals,
            descs: [CONVERSATIONS, COMPUTED_COST, OUTCOMES].iter().map(Spec::desc).collect(),
        }
    }
}

impl Collector for FactsCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (totals, mut facts) = (self.totals.read(), self.facts.lock());
        let (Some(totals), Some(read)) = (&*totals, &facts.read) else { return Vec::new() };
        if let Some(shown) = &facts.shown {
            return families(shown).into();
        }
        let (amounts, is_settled) = by_label(totals, read);
        let families = families(&amounts);
        facts.shown = is_settled.then_some(amounts);
        families.into()
    }
}

/// Adds the amounts up by the labels that are shown. Also returns whether every amount has such labels.
fn by_label(totals: &Totals, facts: &FactTotals) -> (Amounts, bool) {
    let (mut amounts, mut is_settled) = (Amounts::new(), true);
    for (business_id, kind, label, amount) in facts.iter() {
        let is_model = kind == TotalKind::ComputedNanos;
        let model_name = if is_model { label.to_owned() } else { String::new() };
        let key = Key { business_id: business_id.to_owned(), model_name, ..Key::default() };
        // What will be shown soon must not count as other, which would decrease then.
        let Some(labels) = totals.settled_labels(&key, is_model) else {
            is_settled = false;
            continue;
        };
        let label = if is_model { labels.model_name } else { label.to_owned() };
        *amounts.entry((kind, [labels.business_id, label])).or_default() += amount;
    }
    (amounts, is_settled)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus' numbers are doubles; amounts stay far below 2^53"
)]
fn families(amounts: &Amounts) -> [MetricFamily; 3] {
    let of = |kind: TotalKind| amounts.iter().filter(move |((other, _), _)| *other == kind);
    [
        family(CONVERSATIONS, of(TotalKind::Conversations), |family, ((_, [id, _]), amount)| {
            family.with(&[id], *amount as f64)
        }),
        family(COMPUTED_COST, of(TotalKind::ComputedNanos), |family, ((_, [id, model]), nanos)| {
            family.with(&[id, model], *nanos as f64 / 1e9)
        }),
        family(OUTCOMES, of(TotalKind::Outcomes), |family, ((_, [id, outcome]), amount)| {
            family.with(&[id, outcome], *amount as f64)
        }),
    ]
}
