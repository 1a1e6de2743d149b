//! The fixed windows that replicas share, kept in Redis (6 or newer) or Valkey.
//!
//! A request costs one call of a script, which counts it in all windows of its quota at once. Once Redis fails or is slow,
//! its connection is given up, and nobody asks it any more until [`Limiter::watch`] has found it well again.

use std::fs;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisResult, Script, TlsCertificates};
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
    client: Client,
    script: Script,
    /// `None` while Redis is away. The manager of connections that comes with the crate is not used: it tries no more
    /// once it was refused, for a wrong password, say, that is mended later.
    connection: RwLock<Option<MultiplexedConnection>>,
    metrics: RedisMetrics,
    /// Why Redis was last given up, until that is logged.
    reason: Mutex<Option<String>>,
    lost: Notify,
}

impl Limiter {
    /// A limiter on the Redis at `url`, which need not be there, and is away until [`Limiter::connect`] has found it. An
    /// error is one that a person must mend.
    pub fn open(url: &RedisUrl, metrics: RedisMetrics) -> Result<Self, String> {
        Ok(Self {
            client: client(url).map_err(|error| format!("REDIS_URL cannot be used: {error}"))?,
            script: Script::new(include_str!("window.lua")),
            connection: RwLock::default(),
            metrics,
            reason: Mutex::default(),
            lost: Notify::new(),
        })
    }

    /// Whether Redis answers.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.connection().is_some()
    }

    fn connection(&self) -> Option<MultiplexedConnection> {
        self.connection.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, connection: Option<MultiplexedConnection>) {
        self.metrics.up.set(connection.is_some().into());
        *self.connection.write().unwrap_or_else(PoisonError::into_inner) = connection;
    }

    /// Counts one request of `caller` at `now_ms`, and says whether it passes; `None` when Redis does not.
    pub async fn hit(&self, caller: &str, quota: &Quota, now_ms: i64) -> Option<Decision> {
        let decision = match self.connection() {
            Some(connection) => self.call(connection, caller, quota, now_ms).await,
            None => None,
        };
        if decision.is_none() {
            self.metrics.fallbacks.inc();
        }
        decision
    }

    async fn call(
        &self,
        mut connection: MultiplexedConnection,
        caller: &str,
        quota: &Quota,
        now_ms: i64,
    ) -> Option<Decision> {
        let mut call = self.script.prepare_invoke();
        call.key(format!("{PREFIX}{caller}")).arg(now_ms).arg(MAX_CLOCK_SKEW_MS);
        for window in quota.windows() {
            call.arg(window.limit).arg(window.millis());
        }
        let answer: Vec<i64> = match within(SLOW, call.invoke_async(&mut connection)).await {
            Ok(answer) => answer,
            Err(why) => {
                self.give_up(why);
                self.lost.notify_one();
                return None;
            }
        };
        let (allowed, counts) = read(&answer)?;
        Some(counts.decision(quota, allowed, now_ms))
    }

    /// Looks whether Redis is there and well.
    pub async fn connect(&self) {
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(SLOW));
        let found = async {
            let opened = self.client.get_multiplexed_async_connection_with_config(&config);
            let mut connection = within(CONNECT_LIMIT, opened).await?;
            within(SLOW, redis::cmd("PING").query_async::<()>(&mut connection)).await?;
            Ok(connection)
        };
        match found.await {
            Ok(connection) => self.set(Some(connection)),
            Err(why) => self.give_up(why),
        }
    }

    fn give_up(&self, why: String) {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        self.set(None);
    }

    /// Looks for Redis, again and again while it is away, until the service stops.
    pub async fn watch(&self, stopping: &CancellationToken) {
        let mut logged: Option<Instant> = None;
        while stopping.run_until_cancelled(self.wait()).await.is_some() {
            self.connect().await;
            let reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(reason) = reason.filter(|_| logged.is_none_or(|at| at.elapsed() >= LOG_EVERY)) {
                logged = Some(Instant::now());
                tracing::error!("Redis cannot be used, each replica counts quotas for itself: {reason}");
            }
            if self.is_up() {
                tracing::info!("Redis is there, replicas share quotas");
            }
        }
    }

    /// Waits until it is time to look for Redis: at once when it is lost, later when it was not found.
    async fn wait(&self) {
        match self.is_up() {
            true => self.lost.notified().await,
            false => sleep(ASK_EVERY).await,
        }
    }
}

/// What `call` gives in time, or why it gives nothing.
async fn within<T>(limit: Duration, call: impl Future<Output = RedisResult<T>>) -> Result<T, String> {
    match timeout(limit, call).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("it takes longer than {} ms", limit.as_millis())),
    }
}

fn client(url: &RedisUrl) -> RedisResult<Client> {
    let address = url.url.expose_secret();
    match &url.root_certificate {
        None => Client::open(address),
        Some(path) => {
            let tls = TlsCertificates { client_tls: None, root_cert: Some(fs::read(path)?) };
            Client::build_with_tls(address, tls)
        }
    }
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
