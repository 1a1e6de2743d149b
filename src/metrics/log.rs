//! Counts log lines that were lost.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{MetricFamily, MetricType};
use tracing_appender::non_blocking::ErrorCounter;

use super::family::Spec;

const LOST: Spec = Spec {
    name: "log_lines_lost_total",
    help: "Log lines lost because standard error was closed, full or too slow.",
    labels: &[],
    kind: MetricType::COUNTER,
};

/// The log lines of this process that could not be written.
pub static LOST_LINES: LostLines = LostLines { failed: AtomicU64::new(0), dropped: OnceLock::new() };

/// Log lines that were lost since the start.
#[derive(Debug)]
pub struct LostLines {
    failed: AtomicU64,
    dropped: OnceLock<ErrorCounter>,
}

impl LostLines {
    /// Counts a line that could not be written.
    pub fn count(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds the lines of `counter`, which were dropped because too many were waiting.
    pub fn watch(&self, counter: ErrorCounter) {
        self.dropped.get_or_init(|| counter);
    }

    /// Returns how many were lost.
    #[must_use]
    pub fn total(&self) -> u64 {
        let dropped = self.dropped.get().map_or(0, ErrorCounter::dropped_lines);
        self.failed.load(Ordering::Relaxed) + dropped as u64
    }
}

/// Exports [`LOST_LINES`].
pub(super) struct LogCollector(Desc);

impl LogCollector {
    pub(super) fn new() -> Self {
        Self(LOST.desc())
    }
}

impl Collector for LogCollector {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0]
    }

    #[expect(clippy::cast_precision_loss, reason = "lines are far below 2^53")]
    fn collect(&self) -> Vec<MetricFamily> {
        vec![LOST.family().with(&[], LOST_LINES.total() as f64).build()]
    }
}
