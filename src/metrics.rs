//! Prometheus metrics: a view of the stored totals, and the service's own HTTP and process metrics.

mod budgets;
mod facts;
mod family;
mod log;
mod pages;
mod process;
mod replica;
mod retention;
mod series;
mod spool;
mod totals;

pub use log::LOST_LINES;
pub use pages::{Closer, PageMaker};
pub use process::{Process, Usage};
pub use replica::ReplicaMetrics;
pub use retention::RetentionMetrics;
pub use series::{Bounds, Series, SeriesKind};
pub use spool::SpoolStats;
pub use totals::{Label, Totals};

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use parking_lot::RwLock;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};
use strum::VariantArray;
use tokio_util::sync::CancellationToken;

use crate::business::ProfileCache;
use crate::conversation::FactTotals;
use crate::security::SecurityEvent;
use pages::Pages;

/// The content type of a page: Prometheus' text format 0.0.4.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds, in seconds, of the buckets of `http_request_duration_seconds`.
const HTTP_BUCKETS: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 2.5];

const NEAR_HELP: &str = "Callers that have used 80 % of a quota, by route pattern.";
const SECURITY_HELP: &str =
    "Security events (failed attempts, refusals, key changes, and signing in and out), by event.";
const REDACTED_HELP: &str = "Labels with an e-mail address or phone number that were replaced by unknown.";
const OPEN_HELP: &str = "Open privacy requests.";
const OVERDUE_HELP: &str = "Open privacy requests whose due date is over.";

/// The totals as last read and updated by the ingest task; `None` until the store has been read for the first
/// time. Until then `/metrics` leaves out the AI families, because a counter at 0 would look like a reset.
pub type SharedTotals = Arc<RwLock<Option<Totals>>>;

/// The metrics of the Redis that stores shared quotas.
#[derive(Debug, Clone)]
pub struct RedisMetrics {
    /// Whether it is available: 1 or 0.
    pub up: IntGauge,
    /// Decisions made without it.
    pub fallbacks: IntCounter,
}

/// All metrics of the service.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    totals: SharedTotals,
    facts: facts::SharedFacts,
    process: Arc<Process>,
    requests: IntCounterVec,
    durations: HistogramVec,
    security: IntCounterVec,
    near: IntCounterVec,
    shadow: IntCounterVec,
    retention: RetentionMetrics,
    requests_open: IntGauge,
    requests_overdue: IntGauge,
    audit_head: IntGauge,
    redacted: IntCounter,
    pages: Pages,
}

impl Metrics {
    /// Creates and registers all metrics. [`Metrics::run`] makes the pages.
    #[must_use]
    pub fn new() -> (Self, PageMaker) {
        let (pages, page_maker) = Pages::new();
        let requests =
            Opts::new("http_requests_total", "HTTP requests, by method, route pattern and status code.");
        let durations = HistogramOpts::new(
            "http_request_duration_seconds",
            "Time from request head to response head, by method and route pattern.",
        );
        let security = Opts::new("security_events_total", SECURITY_HELP);
        let near = Opts::new("rate_limit_near_total", NEAR_HELP);
        let shadow = Opts::new(
            "rate_limit_shadow_total",
            "Requests over quota that RATE_LIMIT_MODE=shadow let through, by route pattern.",
        );
        let metrics = Self {
            registry: Registry::new(),
            totals: SharedTotals::default(),
            facts: facts::SharedFacts::default(),
            process: Arc::default(),
            requests: IntCounterVec::new(requests, &["method", "route", "status"]).expect("names are valid"),
            durations: HistogramVec::new(durations.buckets(HTTP_BUCKETS.to_vec()), &["method", "route"])
                .expect("names are valid"),
            security: IntCounterVec::new(security, &["event"]).expect("names are valid"),
            near: IntCounterVec::new(near, &["route"]).expect("names are valid"),
            shadow: IntCounterVec::new(shadow, &["route"]).expect("names are valid"),
            retention: RetentionMetrics::new(),
            requests_open: gauge("privacy_requests_open", OPEN_HELP),
            requests_overdue: gauge("privacy_requests_overdue", OVERDUE_HELP),
            audit_head: gauge("audit_head_seq", "Sequence number of the newest entry of the audit trail."),
            redacted: IntCounter::new("labels_redacted_total", REDACTED_HELP).expect("names are valid"),
            pages,
        };
        metrics.start_security_at_zero();
        for collector in metrics.collectors().into_iter().chain(metrics.retention.collectors()) {
            metrics.registry.register(collector).expect("every name is registered once");
        }
        (metrics, page_maker)
    }

    /// Returns the collectors to register, without those of retention.
    fn collectors(&self) -> [Box<dyn prometheus::core::Collector>; 13] {
        [
            Box::new(totals::TotalsCollector::new(self.totals.clone())),
            Box::new(facts::FactsCollector::new(self.facts.clone(), self.totals.clone())),
            Box::new(process::ProcessCollector::new(self.process.clone())),
            Box::new(self.requests.clone()),
            Box::new(self.durations.clone()),
            Box::new(self.security.clone()),
            Box::new(self.near.clone()),
            Box::new(self.shadow.clone()),
            Box::new(self.requests_open.clone()),
            Box::new(self.requests_overdue.clone()),
            Box::new(self.audit_head.clone()),
            Box::new(self.redacted.clone()),
            Box::new(log::LogCollector::new()),
        ]
    }

    fn start_security_at_zero(&self) {
        for event in SecurityEvent::VARIANTS {
            drop(self.security.with_label_values(&[event.name()]));
        }
    }

    /// Returns a page with the current values of all metrics, compressed if that is accepted; `None` while too many readers wait.
    /// `closer` is called if the page is not read in time.
    pub async fn page(&self, accepts_gzip: bool, closer: Option<Closer>) -> Option<Bytes> {
        self.pages.page(accepts_gzip, closer).await
    }

    /// Makes the pages until `ending`.
    pub async fn run(self, pages: PageMaker, ending: CancellationToken) {
        pages.run(move || self.text(), ending).await;
    }

    /// Returns the current values of all metrics. For readers there is [`Metrics::page`].
    #[must_use]
    pub fn text(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).expect("only full families are gathered")
    }

    /// Records a request and its response.
    pub fn observe_http(&self, method: &str, route: &str, status: &str, took: Duration) {
        self.requests.with_label_values(&[method, route, status]).inc();
        self.durations.with_label_values(&[method, route]).observe(took.as_secs_f64());
    }

    /// Counts a security event that happened this many times.
    pub fn count_security(&self, event: SecurityEvent, times: u64) {
        self.security.with_label_values(&[event.name()]).inc_by(times);
    }

    /// Counts a caller that has used 80 % of a quota of `route`.
    pub fn count_near(&self, route: &str) {
        self.near.with_label_values(&[route]).inc();
    }

    /// Counts a request of `route` that is over quota and let through.
    pub fn count_shadow(&self, route: &str) {
        self.shadow.with_label_values(&[route]).inc();
    }

    /// Sets the numbers of open and overdue privacy requests.
    pub fn show_requests(&self, open: i64, overdue: i64) {
        self.requests_open.set(open);
        self.requests_overdue.set(overdue);
    }

    /// Counts labels that were redacted.
    pub fn count_redacted(&self, labels: u64) {
        self.redacted.inc_by(labels);
    }

    /// Sets the sequence number of the newest entry of the audit trail.
    pub fn show_audit_head(&self, seq: i64) {
        self.audit_head.set(seq);
    }

    /// Registers the metrics of Redis, which exist only if it is configured. Must be called at most once.
    #[must_use]
    pub fn redis(&self) -> RedisMetrics {
        let up =
            IntGauge::new("rate_limit_redis_up", "Whether the Redis that stores shared quotas is reachable.");
        let fallbacks = IntCounter::new(
            "rate_limit_redis_fallbacks_total",
            "Requests whose quota was counted locally because Redis was unavailable.",
        );
        let metrics =
            RedisMetrics { up: up.expect("names are valid"), fallbacks: fallbacks.expect("names are valid") };
        let own: [Box<dyn prometheus::core::Collector>; 2] =
            [Box::new(metrics.up.clone()), Box::new(metrics.fallbacks.clone())];
        for collector in own {
            self.registry.register(collector).expect("every name is registered once");
        }
        metrics
    }

    /// Registers the metrics of the read replica, which exist only if there is one. Must be called at most once.
    #[must_use]
    pub fn replica(&self) -> ReplicaMetrics {
        let metrics = ReplicaMetrics::new();
        for collector in metrics.collectors() {
            self.registry.register(collector).expect("every name is registered once");
        }
        metrics
    }

    /// Returns the metrics of retention.
    #[must_use]
    pub const fn retention(&self) -> &RetentionMetrics {
        &self.retention
    }

    /// Registers the metrics of the spool, which exist only if there is one; `read` is called on each scrape.
    /// Must be called at most once.
    pub fn show_spool(&self, read: impl Fn() -> SpoolStats + Send + Sync + 'static) {
        let collector = Box::new(spool::SpoolCollector::new(read));
        self.registry.register(collector).expect("every name is registered once");
    }

    /// Registers the gauge of budgets in `profiles`. Must be called at most once.
    pub fn show_budgets(&self, profiles: ProfileCache) {
        let collector = Box::new(budgets::BudgetCollector::new(profiles, self.totals.clone()));
        self.registry.register(collector).expect("every name is registered once");
    }

    /// Returns the resource usage of the process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Replaces the totals with those read from the store.
    pub fn replace_totals(&self, totals: Totals) {
        *self.totals.write() = Some(totals);
    }

    /// Replaces what is added up beside the rollups with what was read from the store.
    pub fn show_facts(&self, facts: FactTotals) {
        self.facts.lock().replace(facts);
    }

    /// Returns what `read` returns for the totals; `None` before they are loaded.
    pub fn with_totals<T>(&self, read: impl FnOnce(&Totals) -> T) -> Option<T> {
        self.totals.read().as_ref().map(read)
    }

    /// Updates the totals, if they are loaded. A scrape sees all of the change or none of it.
    pub fn update_totals(&self, change: impl FnOnce(&mut Totals)) {
        if let Some(totals) = self.totals.write().as_mut() {
            change(totals);
        }
    }
}

fn gauge(name: &str, help: &str) -> IntGauge {
    IntGauge::new(name, help).expect("names are valid")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prometheus::core::Collector;

    use super::*;

    #[test]
    fn collectors_show_exactly_the_families_that_they_declare() {
        let totals = SharedTotals::new(RwLock::new(Some(Totals::new(1))));
        let collectors: [Box<dyn Collector>; 4] = [
            Box::new(budgets::BudgetCollector::new(ProfileCache::new(chrono_tz::Tz::UTC), totals.clone())),
            Box::new(totals::TotalsCollector::new(totals)),
            Box::new(process::ProcessCollector::new(Arc::default())),
            Box::new(spool::SpoolCollector::new(SpoolStats::default)),
        ];
        for collector in collectors {
            let declared: BTreeSet<String> =
                collector.desc().iter().map(|desc| desc.fq_name.clone()).collect();
            let families = collector.collect();
            let shown: BTreeSet<String> = families.iter().map(|family| family.name().to_owned()).collect();
            assert_eq!(shown, declared);
        }
    }
}
