//! What handlers share.

mod health_cache;

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
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::privacy::subject::Hasher;
use crate::quota::Flood;
use crate::quota::{Limits, memory, shared};
use crate::retention::RetentionTask;
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

/// Callers whose quotas are remembered at the same time; about 25 MB when they all are.
const MAX_CALLERS: usize = 200_000;

/// How often clients that have been quiet are forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// Exports of a person's data that may be written at the same time; each may take a hundred megabytes.
const MAX_EXPORTS: usize = 2;

/// The limiter of quotas that `config` asks for. An error is one that a person must mend.
pub fn limits(config: &Config, metrics: &Metrics) -> Result<Limits<QuotaKey>, String> {
    let shared =
        config.redis_url.as_ref().map(|url| shared::Limiter::open(url, metrics.redis())).transpose()?;
    Ok(Limits::new(memory::Limiter::new(MAX_CALLERS), shared))
}

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
    /// Where security events are told.
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

/// What an [`App`] is made of.
#[derive(Debug)]
pub struct Parts {
    /// The settings.
    pub config: Config,
    /// The events.
    pub store: Store,
    /// The way of events into the store.
    pub ingest: Ingest,
    /// What Prometheus scrapes.
    pub metrics: Metrics,
    /// The counts of the quotas.
    pub limits: Limits<QuotaKey>,
    /// Recognises callers.
    pub access: Authenticator,
    /// The time.
    pub clock: Clock,
}

impl App {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts, lifecycle: &Lifecycle) -> Self {
        let Parts { config, store, ingest, metrics, limits, access, clock } = parts;
        Self(Arc::new(Inner {
            access,
            hasher: Hasher::of(&config),
            security_log: SecurityLog::default(),
            audit_recorder: Recorder::new(store.clone(), clock.clone()),
            proxies: Proxies::new(config.trusted_proxies.clone()),
            flood: config.flood_limit_per_second.get().map(|rate| Flood::new(rate.get())),
            in_flight: Semaphore::new(config.max_requests_in_flight.get() as usize),
            exports: Semaphore::new(MAX_EXPORTS),
            answering: TaskTracker::new(),
            health_cache: HealthCache::default(),
            tracked: TrackCounts::default(),
            page: OnceLock::new(),
            notice: OnceLock::new(),
            started_at: clock.now(),
            stopping: lifecycle.stopping().clone(),
            config,
            store,
            ingest,
            metrics,
            limits,
            clock,
        }))
    }

    /// Starts the tasks that keep what handlers share fresh.
    pub fn start_tasks(&self, lifecycle: &Lifecycle) {
        let stopping = || lifecycle.stopping().clone();
        self.audit_recorder.record_start(&self.config.in_effect);
        lifecycle.spawn("audit", self.audit_recorder.clone().run(lifecycle.ending().clone()));
        lifecycle.spawn("sweep", self.clone().sweep());
        lifecycle.spawn("quotas", self.limits.clone().tend(self.clock.clone(), stopping()));
        let task = RetentionTask::new(
            &self.config,
            self.store.clone(),
            self.clock.clone(),
            self.metrics.retention().clone(),
        );
        lifecycle.spawn("retention", task.run(stopping()));
        lifecycle.spawn("keys", self.access.key_cache().clone().run(stopping()));
        if let Some(tokens) = self.access.token_verifier() {
            lifecycle.spawn("tokens", tokens.clone().run(stopping()));
        }
    }

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
    /// Notes a request that came at `at`; it has failed unless it is told to succeed.
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
