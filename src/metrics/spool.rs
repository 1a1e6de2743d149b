//! The metrics of the spool.

use prometheus::core::{Collector, Desc};
use prometheus::proto::{MetricFamily, MetricType};

use super::family::Spec;

const EVENTS: Spec = Spec {
    name: "spool_events",
    help: "Events in the spool, waiting to be replayed to the database.",
    labels: &[],
    kind: MetricType::GAUGE,
};
const REFUSED: Spec = Spec {
    name: "spool_refused_events",
    help: "Events in the spool that the database rejected; retried at the next start.",
    labels: &[],
    kind: MetricType::GAUGE,
};
const OLDEST: Spec = Spec {
    name: "spool_oldest_seconds",
    help: "Age of the oldest event in the spool, in seconds.",
    labels: &[],
    kind: MetricType::GAUGE,
};
const REPLAYED: Spec = Spec {
    name: "spool_replayed_total",
    help: "Events replayed from the spool to the database.",
    labels: &[],
    kind: MetricType::COUNTER,
};

/// A snapshot of the spool.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SpoolStats {
    /// The number of events in it.
    pub events: u64,
    /// The number of them that the database rejected.
    pub refused: u64,
    /// The age of the oldest event, in seconds; `None` if there is none.
    pub oldest_seconds: Option<f64>,
    /// The number of events replayed since the start.
    pub replayed: u64,
}

/// Takes a snapshot on each scrape.
pub(super) struct SpoolCollector {
    read: Box<dyn Fn() -> SpoolStats + Send + Sync>,
    descs: Vec<Desc>,
}

impl SpoolCollector {
    pub(super) fn new(read: impl Fn() -> SpoolStats + Send + Sync + 'static) -> Self {
        Self {
            read: Box::new(read),
            descs: [EVENTS, REFUSED, OLDEST, REPLAYED].iter().map(Spec::desc).collect(),
        }
    }
}

impl Collector for SpoolCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of events stay below 2^53")]
    fn collect(&self) -> Vec<MetricFamily> {
        let stats = (self.read)();
        vec![
            EVENTS.family().with(&[], stats.events as f64).build(),
            REFUSED.family().with(&[], stats.refused as f64).build(),
            OLDEST.family().with(&[], stats.oldest_seconds.unwrap_or(0.0)).build(),
            REPLAYED.family().with(&[], stats.replayed as f64).build(),
        ]
    }
}
