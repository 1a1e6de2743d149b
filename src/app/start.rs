//! Construction of an [`App`], for the service, its tests and its benchmarks alike.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::health_cache::HealthCache;
use super::last_known::LastKnown;
use super::replica_watch::ReplicaWatch;
use super::{App, Inner, QuotaKey, TrackCounts};
use crate::audit::{HeadKeeper, Recorder};
use crate::auth::{Authenticator, Proxies};
use crate::clock::Clock;
use crate::config::Config;
use crate::fair_share::FairShare;
use crate::ingest::Ingest;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::privacy::subject::ContactReader;
use crate::quota::{Flood, Limits, shared};
use crate::retention::RetentionTask;
use crate::security::SecurityLog;
use crate::store::{Store, StoreError};

/// How long the start waits for the store. After that the service runs without it, and spools or rejects
/// events until it is available.
const STORE_PATIENCE: Duration = Duration::from_secs(6);

/// The maximum number of callers of each class whose quotas are remembered: about 12 MB for each.
const MAX_CALLERS: usize = 100_000;

/// The maximum number of concurrent exports of a person's data; each may use a hundred megabytes.
const MAX_EXPORTS: usize = 2;

impl App {
    /// Opens the store, starts the ingest task and connects to Redis. An unavailable store is retried in the
    /// background; errors need an operator to fix them. [`App::start_tasks`] starts the other tasks.
    pub async fn start(config: Config, clock: Clock, lifecycle: &Lifecycle) -> Result<Self, String> {
        if config.consent_required {
            drop(spawn_blocking(ContactReader::warm_up));
        }
        let store = Store::open(&config).map_err(|error| format!("the database cannot be used: {error}"))?;
        let (metrics, pages) = Metrics::new();
        lifecycle.spawn("metrics", metrics.clone().run(pages, lifecycle.ending().clone()));
        metrics.show_budgets(store.profiles().clone());
        let limits = limits(&config, &metrics)?;
        let access = Authenticator::new(&config, store.clone(), &clock)?;
        let (ingest, prepared) =
            Ingest::start(&config, store.clone(), metrics.clone(), clock.clone(), lifecycle);
        if let Ok(Ok(Err(error @ StoreError::Unusable(_)))) = timeout(STORE_PATIENCE, prepared).await {
            return Err(format!("the database cannot be used ({}): {error}", store.place()));
        }
        let app = Self(Arc::new(Inner {
            access,
            hasher: config.hasher(),
            security_log: SecurityLog::default(),
            audit_recorder: Recorder::new(store.clone(), clock.clone()),
            proxies: Proxies::new(config.trusted_proxies.clone()),
            flood: config.flood_limit_per_second.get().map(|rate| Flood::new(rate.get())),
            in_flight: FairShare::new(config.max_requests_in_flight.get() as usize),
            body_memory: FairShare::new(config.body_memory_mb.get() as usize * 1024 * 1024),
            exports: Semaphore::new(MAX_EXPORTS),
            answering: TaskTracker::new(),
            health_cache: HealthCache::default(),
            last_known: LastKnown::default(),
            tracked: TrackCounts::default(),
            notice: OnceLock::new(),
            api_document: OnceLock::new(),
            api_pages: OnceLock::new(),
            started_at: clock.now(),
            stopping: lifecycle.stopping().clone(),
            config,
            store,
            ingest,
            metrics,
            limits,
            clock,
        }));
        app.limits.connect().await;
        // If the keys cannot be read yet, they are looked up one by one.
        drop(app.access.key_cache().read().await);
        Ok(app)
    }

    /// Starts the background tasks.
    pub fn start_tasks(&self, lifecycle: &Lifecycle) {
        let stopping = || lifecycle.stopping().clone();
        self.audit_recorder.record_start(&self.config.in_effect);
        lifecycle.spawn("audit", self.audit_recorder.clone().run(lifecycle.ending().clone()));
        let heads = HeadKeeper::new(
            self.store.clone(),
            self.clock.clone(),
            self.metrics.clone(),
            self.config.audit_head_file.clone(),
        );
        lifecycle.spawn("audit head", heads.run(lifecycle.ending().clone()));
        lifecycle.spawn("sweep", self.clone().sweep());
        lifecycle.spawn("quotas", self.limits.clone().run(self.clock.clone(), stopping()));
        let task = RetentionTask::new(
            &self.config,
            self.store.clone(),
            self.clock.clone(),
            self.metrics.retention().clone(),
        );
        lifecycle.spawn("retention", task.run(stopping()));
        lifecycle.spawn("keys", self.access.key_cache().clone().run(stopping()));
        if self.store.has_replica() {
            let watch = ReplicaWatch::new(self.store.clone(), self.metrics.replica());
            lifecycle.spawn("replica", watch.run(stopping()));
        }
        if let Some(tokens) = self.access.token_verifier() {
            lifecycle.spawn("tokens", tokens.clone().run(stopping()));
        }
    }
}

/// Returns the limiter of quotas that `config` specifies.
fn limits(config: &Config, metrics: &Metrics) -> Result<Limits<QuotaKey>, String> {
    let shared =
        config.redis_url.as_ref().map(|url| shared::Limiter::open(url, metrics.redis())).transpose()?;
    Ok(Limits::new(MAX_CALLERS, shared))
}
