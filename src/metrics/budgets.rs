//! The gauge of budgets, from the business profiles in memory.

use prometheus::core::{Collector, Desc};
use prometheus::proto::{MetricFamily, MetricType};

use super::SharedTotals;
use super::family::Spec;
use crate::business::ProfileCache;

const BUDGET: Spec = Spec {
    name: "ai_budget_usd",
    help: "What a business' AI may cost in a calendar month, in US dollars.",
    labels: &["business_id"],
    kind: MetricType::GAUGE,
};

/// Exports the budgets of the businesses that have a label value of their own.
pub(super) struct BudgetCollector {
    profiles: ProfileCache,
    totals: SharedTotals,
    desc: Desc,
}

impl BudgetCollector {
    pub(super) fn new(profiles: ProfileCache, totals: SharedTotals) -> Self {
        Self { profiles, totals, desc: BUDGET.desc() }
    }
}

impl Collector for BudgetCollector {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    #[expect(clippy::cast_precision_loss, reason = "no budget reaches 2^53 millionths")]
    fn collect(&self) -> Vec<MetricFamily> {
        let (profiles, totals) = (self.profiles.current(), self.totals.read());
        let is_shown = |id: &str| totals.as_ref().is_some_and(|totals| totals.shows(id));
        let budgets = profiles.iter().filter_map(|(id, profile)| Some((id, profile.monthly_budget_micros?)));
        let mut budgets: Vec<(&str, i64)> = budgets.filter(|(id, _)| is_shown(id)).collect();
        budgets.sort_unstable();
        let add = |family: super::family::Family, (id, micros): (&str, i64)| {
            family.with(&[id], micros as f64 / 1e6)
        };
        vec![budgets.into_iter().fold(BUDGET.family(), add).build()]
    }
}
