//! `percentiles`.

use serde::Serialize;
use utoipa::ToSchema;

use crate::rollup::Latencies;
use crate::store::Figures;

/// Percentiles of response times in milliseconds, each at most 1 % off; `None` without answers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct Percentiles {
    /// The median.
    #[schema(required)]
    pub p50: Option<f64>,
    /// The 90th percentile.
    #[schema(required)]
    pub p90: Option<f64>,
    /// The 95th percentile.
    #[schema(required)]
    pub p95: Option<f64>,
    /// The 99th percentile.
    #[schema(required)]
    pub p99: Option<f64>,
}

/// Percentiles of all answers, and of those for which a customer waited first.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct AllPercentiles {
    /// Of all answers.
    pub answers: Percentiles,
    /// Of the first answer of each conversation.
    pub first_answers: Percentiles,
}

impl Percentiles {
    fn of(latencies: &Latencies) -> Self {
        let [p50, p90, p95, p99] = [50, 90, 95, 99].map(|percent| latencies.percentile(percent));
        Self { p50, p90, p95, p99 }
    }
}

impl AllPercentiles {
    pub(in crate::analytics) fn of(figures: &Figures) -> Self {
        Self {
            answers: Percentiles::of(&figures.latencies),
            first_answers: Percentiles::of(&figures.first_latencies),
        }
    }
}
