//! Metrics of the read replica.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{Gauge, IntGauge};

use super::gauge;

/// The metrics of the read replica.
#[derive(Debug, Clone)]
pub struct ReplicaMetrics {
    in_use: IntGauge,
    lag: Gauge,
}

impl ReplicaMetrics {
    pub(super) fn new() -> Self {
        let lag = Gauge::new(
            "database_replica_lag_seconds",
            "How far the read replica was behind when it was last asked.",
        );
        Self {
            in_use: gauge("database_replica_in_use", "Whether analytics is read from the replica."),
            lag: lag.expect("names are valid"),
        }
    }

    /// Returns the collectors to register.
    pub(super) fn collectors(&self) -> [Box<dyn Collector>; 2] {
        [Box::new(self.in_use.clone()), Box::new(self.lag.clone())]
    }

    /// Sets whether analytics is read from the replica and, if it could be asked, how far that is behind.
    pub fn show(&self, in_use: bool, lag: Option<Duration>) {
        self.in_use.set(i64::from(in_use));
        if let Some(lag) = lag {
            self.lag.set(lag.as_secs_f64());
        }
    }
}
