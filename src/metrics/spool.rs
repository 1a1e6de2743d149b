//! What is in the spool, where there is one.

use prometheus::core::{Collector, Desc};
use prometheus::proto::{MetricFamily, MetricType};

use super::family::Spec;

const EVENTS: Spec = Spec {
    name: "spool_events",
    help: "Events in the spool, on their way to the database.",
    labels: &[],
    kind: MetricType::GAUGE,
};
const REFUSED: Spec = Spec {
    name: "spool_refused_events",
    help: "Events in the spool that the database refuses; they are tried again at the next start.",
    labels: &[],
    kind: MetricType::GAUGE,
};
const OLDEST: Spec = Spec {
    name: "spool_oldest_seconds",
    help: "Time since the oldest event in the spool was received, in seconds.",
    labels: &[],
    kind: MetricType::GAUGE,
};
const REPLAYED: Spec = Spec {
    name: "spool_replayed_total",
    help: "Events that went from the spool to the database.",
    labels: &[],
    kind: MetricType::COUNTER,
};

/// A look at the spool.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SpoolStats {
    /// How many events are in it.
    pub events: u64,
    /// How many of them the database refuses.
    pub refused: u64,
    /// How long ago the oldest was received, in seconds.
    pub oldest_seconds: Option<f64>,
    /// How many went to the database since the start.
    pub replayed: u64,
}

/// Asks for a reading whenever it is scraped.
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
        let reading = (self.read)();
        vec![
            EVENTS.family().with(&[], reading.events as f64).build(),
            REFUSED.family().with(&[], reading.refused as f64).build(),
            OLDEST.family().with(&[], reading.oldest_seconds.unwrap_or(0.0)).build(),
            REPLAYED.family().with(&[], reading.replayed as f64).build(),
        ]
    }
}
