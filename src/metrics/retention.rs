//! What became of old rows.

use chrono::{DateTime, Utc};
use prometheus::core::Collector;
use prometheus::{Gauge, IntCounterVec, IntGaugeVec, Opts};

/// How runs end.
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
    /// The metrics, at zero.
    #[must_use]
    pub fn new() -> Self {
        let last_success = Gauge::new(
            "retention_last_success_timestamp_seconds",
            "When the last run began that came to its end, whichever replica made it; 0 before the first.",
        );
        let deleted = Opts::new("retention_deleted_rows_total", "Old rows that were deleted, by table.");
        let overdue = Opts::new(
            "retention_overdue_rows",
            "Rows that the last run that was due should have deleted, by table; an estimate for a large table.",
        );
        let runs = Opts::new("retention_runs_total", "Runs of retention, by how they ended.");
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

    /// What the registry is to know.
    pub(super) fn collectors(&self) -> [Box<dyn Collector>; 4] {
        [
            Box::new(self.last_success.clone()),
            Box::new(self.deleted.clone()),
            Box::new(self.overdue.clone()),
            Box::new(self.runs.clone()),
        ]
    }

    /// Shows when the last run that came to its end began.
    pub fn show_success(&self, at: Option<DateTime<Utc>>) {
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 stay below 2^53")]
        self.last_success.set(at.map_or(0, |at| at.timestamp()) as f64);
    }

    /// Counts rows that were deleted.
    pub fn deleted(&self, table: &str, rows: u64) {
        self.deleted.with_label_values(&[table]).inc_by(rows);
    }

    /// Shows how many rows should have been deleted.
    pub fn show_overdue(&self, table: &str, rows: i64) {
        self.overdue.with_label_values(&[table]).set(rows);
    }

    /// Counts a run.
    pub fn ran(&self, outcome: &str) {
        self.runs.with_label_values(&[outcome]).inc();
    }
}

impl Default for RetentionMetrics {
    fn default() -> Self {
        Self::new()
    }
}
