//! Metrics of the deletion of old rows.

use chrono::{DateTime, Utc};
use prometheus::core::Collector;
use prometheus::{Gauge, IntCounterVec, IntGaugeVec, Opts};

/// The outcomes of runs.
const OUTCOMES: [&str; 3] = ["done", "failed", "interrupted"];

/// The metrics of retention.
#[derive(Debug, Clone)]
pub struct RetentionMetrics {
    last_success: Gauge,
    deleted: IntCounterVec,
    overdue: IntGaugeVec,
    runs: IntCounterVec,
}

impl RetentionMetrics {
    /// Creates the metrics, at zero.
    #[must_use]
    pub fn new() -> Self {
        let last_success = Gauge::new(
            "retention_last_success_timestamp_seconds",
            "Start time of the last completed retention run on any replica; 0 before the first.",
        );
        let deleted = Opts::new("retention_deleted_rows_total", "Old rows deleted, by table.");
        let overdue = Opts::new(
            "retention_overdue_rows",
            "Rows that the last due run should have deleted, by table; estimated for large tables.",
        );
        let runs = Opts::new("retention_runs_total", "Retention runs, by outcome.");
        let metrics = Self {
            last_success: last_success.expect("names are valid"),
            deleted: IntCounterVec::new(deleted, &["table"]).expect("names are valid"),
            overdue: IntGaugeVec::new(overdue, &["table"]).expect("names are valid"),
            runs: IntCounterVec::new(runs, &["outcome"]).expect("names are valid"),
        };
        for outcome in OUTCOMES {
            drop(metrics.runs.with_label_values(&[outcome]));
        }
        metrics
    }

    /// Returns the collectors to register.
    pub(super) fn collectors(&self) -> [Box<dyn Collector>; 4] {
        [
            Box::new(self.last_success.clone()),
            Box::new(self.deleted.clone()),
            Box::new(self.overdue.clone()),
            Box::new(self.runs.clone()),
        ]
    }

    /// Sets the start time of the last completed run.
    pub fn show_success(&self, at: Option<DateTime<Utc>>) {
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 stay below 2^53")]
        self.last_success.set(at.map_or(0, |at| at.timestamp()) as f64);
    }

    /// Counts deleted rows.
    pub fn deleted(&self, table: &str, rows: u64) {
        self.deleted.with_label_values(&[table]).inc_by(rows);
    }

    /// Sets the number of rows that should have been deleted.
    pub fn show_overdue(&self, table: &str, rows: i64) {
        self.overdue.with_label_values(&[table]).set(rows);
    }

    /// Counts a run with this outcome.
    pub fn ran(&self, outcome: &str) {
        self.runs.with_label_values(&[outcome]).inc();
    }
}

impl Default for RetentionMetrics {
    fn default() -> Self {
        Self::new()
    }
}
