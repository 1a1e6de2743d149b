//! What handlers share.

mod health_cache;
mod start;

use std::convert::Infallible;
use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

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
use crate::ingest::Ingest;
use crate::metrics::Metrics;
use crate::privacy::subject::Hasher;
use crate::quota::Flood;
use crate::quota::Limits;
use crate::security::SecurityLog;
use crate::store::Store;
use health_cache::HealthCache;

/// What quotas are counted for: a caller on a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct QuotaKey {
    /// The method of the route.
    pub method: &'static str,
    /// Its pattern.
    pub path: &'static str,
    /// The caller.
    pub caller: Caller,
}

impl fmt::Display for QuotaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}:{}", self.method, self.path, self.caller)
    }
}

/// How often clients that have been quiet are forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// The state of the service. Itself an extractor: handlers say `app: App`.
#[derive(Debug, Clone)]
pub struct App(Arc<Inner>);

/// See [`App`].
#[derive(Debug)]
pub struct Inner {
    /// The settings.
    pub config: Config,
    /// The events.
    pub store: Store,
    /// The way of events into the store.
    pub ingest: Ingest,
    /// What Prometheus scrapes.
    pub metrics: Metrics,
    /// Recognises callers.
    pub access: Authenticator,
    /// Makes the hashes that stand for persons; none in production without `PRIVACY_HASH_KEY`. Handlers take a
    /// [`crate::http::extract::Subjects`].
    pub hasher: Option<Hasher>,
    /// Where security events are logged.
    pub security_log: SecurityLog,
    /// The way into the audit trail of what nobody waits for.
    pub audit_recorder: Recorder,
    /// The proxies that are believed.
    pub proxies: Proxies,
    /// The counts of the quotas, per route and caller.
    pub limits: Limits<QuotaKey>,
    /// The flood limit, unless it is lifted.
    pub flood: Option<Flood>,
    /// Permits for requests of protected routes in flight. Public ones take none: whoever comes without a key must not
    /// keep out those who have one.
    pub in_flight: Semaphore,
    /// Permits for exports of a person's data.
    pub exports: Semaphore,
    /// Counts the requests of all routes in flight.
    pub answering: TaskTracker,
    /// Whether the database answers.
    pub health_cache: HealthCache,
    /// What reached the `/track` handler.
    pub tracked: TrackCounts,
    /// The dashboard's page, once it was asked for.
    pub page: OnceLock<String>,
    /// The privacy notice, once it was asked for.
    pub notice: OnceLock<String>,
    /// The time.
    pub clock: Clock,
    /// When the service started.
    pub started_at: DateTime<Utc>,
    /// Cancelled when the service begins to stop.
    pub stopping: CancellationToken,
}

impl App {
    /// Whether the database answers, now or a moment ago.
    pub async fn database_answers(&self) -> bool {
        self.health_cache.check(async || self.store.ping().await).await
    }

    /// Forgets clients that have been quiet, again and again until the service stops.
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

/// A request that is being handled. Dropped at its time limit or by a panic, it counts as failed too.
#[derive(Debug)]
#[must_use]
pub struct TrackAttempt<'a>(&'a TrackCounts);

impl TrackAttempt<'_> {
    /// Notes that the request succeeded.
    pub fn succeed(self) {
        std::mem::forget(self);
    }
}

impl Drop for TrackAttempt<'_> {
    fn drop(&mut self) {
        self.0.failed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts of what reached the `/track` handler since the start.
#[derive(Debug, Default)]
pub struct TrackCounts {
    total: AtomicU64,
    failed: AtomicU64,
    last_micros: AtomicI64,
}

impl TrackCounts {
    /// Counts a request received at `at`. It has failed unless [`TrackAttempt::succeed`] is called.
    pub fn begin(&self, at: DateTime<Utc>) -> TrackAttempt<'_> {
        self.last_micros.fetch_max(at.timestamp_micros(), Ordering::Relaxed);
        self.total.fetch_add(1, Ordering::Relaxed);
        TrackAttempt(self)
    }

    /// How many came, how many of them failed, and when the last one came.
    #[must_use]
    pub fn read(&self) -> (u64, u64, Option<DateTime<Utc>>) {
        let failed = self.failed.load(Ordering::Relaxed);
        let total = self.total.load(Ordering::Relaxed);
        let last = Some(self.last_micros.load(Ordering::Relaxed)).filter(|_| total > 0);
        (total, failed, last.and_then(DateTime::from_timestamp_micros))
    }
}
