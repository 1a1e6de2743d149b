//! The fixed windows that replicas share, kept in Redis (6 or newer) or Valkey.
//!
//! A request costs one call of a script, which counts it in all windows of its quota at once. Once Redis fails or is slow,
//! nobody asks it any more until [`Limiter::watch`] has found it well again.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisResult, Script, TlsCertificates};
use secrecy::ExposeSecret;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::counts::{Count, Counts, MAX_CLOCK_SKEW_MS};
use super::{Decision, Quota};
use crate::config::RedisUrl;
use crate::metrics::RedisMetrics;

/// Redis is slow if it takes longer than this.
const SLOW: Duration = Duration::from_millis(250);

/// How long a connection may take to come about.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// How often a Redis that is away is asked whether it is back.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// How often is logged that Redis is away.
const LOG_EVERY: Duration = Duration::from_mins(1);

/// What the names of all keys begin with.
const PREFIX: &str = "mlops:quota:";

/// Counts the requests of callers, each known by a name.
pub struct Limiter {
    connection: ConnectionManager,
    script: Script,
    away: AtomicBool,
    metrics: RedisMetrics,
    /// Why Redis was last given up, until that is logged.
    reason: Mutex<Option<String>>,
    lost: Notify,
}

impl Limiter {
    /// A limiter on the Redis at `url`, which need not be there. Must be called within a runtime. An error is one that a
    /// person must mend.
    pub fn open(url: &RedisUrl, metrics: RedisMetrics) -> Result<Self, String> {
        let connection = connect(url).map_err(|error| format!("REDIS_URL cannot be used: {error}"))?;
        Ok(Self {
            connection,
            script: Script::new(include_str!("window.lua")),
            away: AtomicBool::new(false),
            metrics,
            reason: Mutex::default(),
            lost: Notify::new(),
        })
    }

    /// Whether Redis answers.
    #[must_use]
    pub fn is_up(&self) -> bool {
        !self.away.load(Ordering::Relaxed)
    }

    /// Counts one request of `caller` at `now_ms`, and says whether it passes; `None` when Redis does not.
    pub async fn hit(&self, caller: &str, quota: &Quota, now_ms: i64) -> Option<Decision> {
        let decision = match self.is_up() {
            true => self.call(caller, quota, now_ms).await,
            false => None,
        };
        if decision.is_none() {
            self.metrics.fallbacks.inc();
        }
        decision
    }

    async fn call(&self, caller: &str, quota: &Quota, now_ms: i64) -> Option<Decision> {
        let mut call = self.script.prepare_invoke();
        call.key(format!("{PREFIX}{caller}")).arg(now_ms).arg(MAX_CLOCK_SKEW_MS);
        for window in quota.windows() {
            call.arg(window.limit).arg(window.millis());
        }
        let answer: Vec<i64> = self.within_limit(call.invoke_async(&mut self.connection.clone())).await?;
        let (allowed, counts) = read(&answer)?;
        Some(counts.decision(quota, allowed, now_ms))
    }

    /// Finds out whether Redis is back, again and again while it is away, until the service stops.
    pub async fn watch(&self, stopping: &CancellationToken) {
        let mut logged: Option<Instant> = None;
        while stopping.run_until_cancelled(self.wait()).await.is_some() {
            let up = self.is_well().await;
            let reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(reason) = reason.filter(|_| logged.is_none_or(|at| at.elapsed() >= LOG_EVERY)) {
                logged = Some(Instant::now());
                tracing::error!("Redis cannot be used, each replica counts quotas for itself: {reason}");
            }
            if up && self.away.swap(false, Ordering::Relaxed) {
                self.metrics.up.set(1);
                tracing::info!("Redis is back, replicas share quotas again");
            }
        }
    }

    async fn wait(&self) {
        match self.is_up() {
            true => self.lost.notified().await,
            false => sleep(ASK_EVERY).await,
        }
    }

    async fn is_well(&self) -> bool {
        let mut connection = self.connection.clone();
        self.within_limit(redis::cmd("PING").query_async::<()>(&mut connection)).await.is_some()
    }

    async fn within_limit<T>(&self, call: impl Future<Output = RedisResult<T>>) -> Option<T> {
        let why = match timeout(SLOW, call).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it takes longer than {} ms", SLOW.as_millis()),
        };
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        self.away.store(true, Ordering::Relaxed);
        self.metrics.up.set(0);
        self.lost.notify_one();
        None
    }
}

fn connect(url: &RedisUrl) -> RedisResult<ConnectionManager> {
    let address = url.url.expose_secret();
    let client = match &url.root_certificate {
        None => Client::open(address)?,
        Some(path) => {
            let tls = TlsCertificates { client_tls: None, root_cert: Some(fs::read(path)?) };
            Client::build_with_tls(address, tls)?
        }
    };
    let config = ConnectionManagerConfig::new().set_connection_timeout(Some(CONNECT_LIMIT));
    let config = config.set_response_timeout(Some(SLOW)).set_number_of_retries(1);
    ConnectionManager::new_lazy_with_config(client, config)
}

/// Reads what the script gives.
fn read(answer: &[i64]) -> Option<(bool, Counts)> {
    let (allowed, windows) = answer.split_first()?;
    let mut counts = Counts::default();
    for (count, window) in counts.0.iter_mut().zip(windows.as_chunks().0) {
        let [closes_ms, passed] = *window;
        *count = Count { closes_ms, passed: u32::try_from(passed).ok()? };
    }
    Some((*allowed == 1, counts))
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Limiter(up: {})", self.is_up())
    }
}
