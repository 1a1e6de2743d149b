//! The state that handlers share.

mod health_cache;
pub mod last_known;
mod replica_watch;
mod start;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::FromRequestParts;
use axum::http::request;
use chrono::{DateTime, Utc};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::Recorder;
use crate::auth::{Authenticator, Caller, Proxies};
use crate::clock::Clock;
use crate::config::Config;
use crate::fair_share::FairShare;
use crate::ingest::Ingest;
use crate::metrics::Metrics;
use crate::privacy::subject::Hasher;
use crate::quota::{CallerClass, Counted, Flood, Limits};
use crate::security::SecurityLog;
use crate::store::Store;
use health_cache::HealthCache;
use last_known::LastKnown;

/// The path under which failed attempts are counted, whatever their route.
pub const AUTH_FAILURES: &str = "auth_failures";

/// What quotas are counted for: a caller on a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct QuotaKey {
    /// The method of the route.
    pub method: &'static str,
    /// The pattern of its path.
    pub path: &'static str,
    /// The caller.
    pub caller: Caller,
}

impl fmt::Display for QuotaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}:{}", self.method, self.path, self.caller)
    }
}

impl Counted for QuotaKey {
    fn class(&self) -> CallerClass {
        match self.caller {
            Caller::Network(_) if self.path == AUTH_FAILURES => CallerClass::Failures,
            Caller::Network(_) => CallerClass::Addresses,
            _ => CallerClass::Keys,
        }
    }
}

/// How often idle callers are removed.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// The state of the service. Itself an extractor: handlers say `app: App`.
#[derive(Debug, Clone)]
pub struct App(Arc<Inner>);

/// A text that follows from the settings alone, with its entity tag.
#[derive(Debug)]
pub struct Tagged {
    /// The text.
    pub content: Bytes,
    /// The entity tag.
    pub tag: String,
}

/// See [`App`].
#[derive(Debug)]
pub struct Inner {
    /// The settings.
    pub config: Config,
    /// The database.
    pub store: Store,
    /// The handle of the ingest task, which stores events.
    pub ingest: Ingest,
    /// The metrics that Prometheus scrapes.
    pub metrics: Metrics,
    /// Authenticates callers.
    pub access: Authenticator,
    /// The hasher of persons; `None` in production without `PRIVACY_HASH_KEY`. Handlers take a
    /// [`crate::http::extract::Subjects`].
    pub hasher: Option<Hasher>,
    /// The log of security events.
    pub security_log: SecurityLog,
    /// The queue of audit entries that no request waits for.
    pub audit_recorder: Recorder,
    /// The trusted proxies.
    pub proxies: Proxies,
    /// The limiter of the quotas, by route and caller.
    pub limits: Limits<QuotaKey>,
    /// The flood limit, unless it is off.
    pub flood: Option<Flood>,
    /// Places for requests of protected routes in flight, taken once their bodies are there. Public ones need none: callers without a key must
    /// not shut out those that have one.
    pub in_flight: FairShare,
    /// The bytes of memory for bodies of requests, from when they are read until the response is made.
    pub body_memory: FairShare,
    /// Permits for exports of a person's data.
    pub exports: Semaphore,
    /// Counts the requests of all routes in flight.
    pub answering: TaskTracker,
    /// The cached result of checking whether the database responds.
    pub health_cache: HealthCache,
    /// What pages showed last.
    pub last_known: LastKnown,
    /// The counts of requests that reached the `/track` handler.
    pub tracked: TrackCounts,
    /// The privacy notice, rendered on the first request.
    pub notice: OnceLock<String>,
    /// The API document, made on the first request.
    pub api_document: OnceLock<Tagged>,
    /// The pages that show it, likewise, by their names.
    pub api_pages: OnceLock<BTreeMap<&'static str, Tagged>>,
    /// The clock.
    pub clock: Clock,
    /// When the service started.
    pub started_at: DateTime<Utc>,
    /// Cancelled when the service begins to stop.
    pub stopping: CancellationToken,
}

impl App {
    /// Returns whether the database responds. The result may be a moment old.
    pub async fn database_answers(&self) -> bool {
        self.health_cache.check(async || self.store.ping().await).await
    }

    /// Removes idle callers periodically until the service stops.
    async fn sweep(self) {
        while self.stopping.run_until_cancelled(tokio::time::sleep(SWEEP_EVERY)).await.is_some() {
            self.flood.iter().for_each(Flood::sweep);
        }
    }
}

impl Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl FromRequestParts<App> for App {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut request::Parts, app: &App) -> Result<Self, Infallible> {
        Ok(app.clone())
    }
}

/// A request that is being handled. Its events count as failed if it is dropped, as at its time limit or by a panic, except
/// for those that succeeded.
#[derive(Debug)]
#[must_use]
pub struct TrackAttempt<'a> {
    counts: &'a TrackCounts,
    events: u64,
}

impl TrackAttempt<'_> {
    /// Counts the request as `events` events rather than one; at least one.
    pub fn of_events(&mut self, events: usize) {
        let events = (events as u64).max(1);
        self.counts.total.fetch_add(events - 1, Ordering::Relaxed);
        self.events = events;
    }

    /// Marks this many of its events as successful.
    pub fn succeed(mut self, events: usize) {
        self.events = self.events.saturating_sub(events as u64);
    }
}

impl Drop for TrackAttempt<'_> {
    fn drop(&mut self) {
        self.counts.failed.fetch_add(self.events, Ordering::Relaxed);
    }
}

/// Counts of the events that reached the handlers of `/track` and `/track/batch` since the start. A batch that cannot be parsed
/// counts as one.
#[derive(Debug, Default)]
pub struct TrackCounts {
    total: AtomicU64,
    failed: AtomicU64,
    last_micros: AtomicI64,
}

impl TrackCounts {
    /// Counts a request received at `at`. It counts as failed unless [`TrackAttempt::succeed`] is called.
    pub fn begin(&self, at: DateTime<Utc>) -> TrackAttempt<'_> {
        self.last_micros.fetch_max(at.timestamp_micros(), Ordering::Relaxed);
        self.total.fetch_add(1, Ordering::Relaxed);
        TrackAttempt { counts: self, events: 1 }
    }

    /// Returns the total number of events, how many of them failed, and when the last request was received.
    #[must_use]
    pub fn read(&self) -> (u64, u64, Option<DateTime<Utc>>) {
        let failed = self.failed.load(Ordering::Relaxed);
        let total = self.total.load(Ordering::Relaxed);
        let last = Some(self.last_micros.load(Ordering::Relaxed)).filter(|_| total > 0);
        (total, failed, last.and_then(DateTime::from_timestamp_micros))
    }
}
