//! The limiter that replicas share, in Redis (6 or newer) or Valkey.
//!
//! A request costs one call of a script, which counts it in all windows of its quota at once. When Redis
//! fails or is slow, its connection is closed and requests do without it until [`Limiter::watch`] has
//! successfully run the script: a Redis that is full, or a replica, answers everything else.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{fs, mem};

use parking_lot::{Mutex, RwLock};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisResult, Script, TlsCertificates};
use secrecy::ExposeSecret;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::counts::{Count, Counts, MAX_CLOCK_SKEW_MS};
use super::{Decision, Quota, Unit, Window};
use crate::config::RedisUrl;
use crate::metrics::RedisMetrics;

/// The time limit of a call.
const CALL_LIMIT: Duration = Duration::from_millis(250);

/// The time limit of connecting.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// How often reconnecting is tried.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// The minimum time between two log lines about an unavailable Redis.
const LOG_EVERY: Duration = Duration::from_mins(1);

/// The prefix of all keys.
const PREFIX: &str = "mlops:quota:";

/// What is counted to check that Redis works. Its window never fills up.
const PROBE: &str = "probe";
const PROBE_WINDOW: Window = Window { limit: u32::MAX, multiple: 1, unit: Unit::Second };

/// Counts the requests of callers, identified by a name.
pub struct Limiter {
    client: Client,
    script: Script,
    /// `None` while Redis is unavailable. The `ConnectionManager` of the crate is not used: it stops retrying
    /// once it is rejected, such as for a wrong password, which can be fixed later.
    connection: RwLock<Option<Numbered>>,
    opened: AtomicU64,
    metrics: RedisMetrics,
    /// Why the connection was last closed, until that is logged.
    reason: Mutex<Option<String>>,
    lost: Notify,
}

/// A connection and its number, so that one that fails late does not close a newer one.
#[derive(Clone)]
struct Numbered {
    number: u64,
    connection: MultiplexedConnection,
}

impl Limiter {
    /// Creates a limiter on the Redis at `url`, unavailable until [`Limiter::connect`] succeeds. Errors need
    /// an operator to fix them.
    pub fn open(url: &RedisUrl, metrics: RedisMetrics) -> Result<Self, String> {
        Ok(Self {
            client: client(url).map_err(|error| format!("invalid REDIS_URL: {error}"))?,
            script: Script::new(include_str!("window.lua")),
            connection: RwLock::default(),
            opened: AtomicU64::new(0),
            metrics,
            reason: Mutex::default(),
            lost: Notify::new(),
        })
    }

    /// Returns whether Redis is available.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.current().is_some()
    }

    fn current(&self) -> Option<Numbered> {
        self.connection.read().clone()
    }

    /// Counts one request of `caller` at `now_ms` and decides whether it is allowed; `None` if Redis is
    /// unavailable.
    pub async fn hit(&self, caller: &str, quota: &Quota, now_ms: i64) -> Option<Decision> {
        let decision = self.call(caller, quota, 1, now_ms).await;
        if decision.is_none() {
            self.metrics.fallbacks.inc();
        }
        decision
    }

    /// Decides whether a request of `caller` at `now_ms` would be allowed, without counting it; `None` if
    /// Redis is unavailable.
    pub async fn peek(&self, caller: &str, quota: &Quota, now_ms: i64) -> Option<Decision> {
        self.call(caller, quota, 0, now_ms).await
    }

    async fn call(&self, caller: &str, quota: &Quota, take: u32, now_ms: i64) -> Option<Decision> {
        let Numbered { number, mut connection } = self.current()?;
        match within(CALL_LIMIT, self.run(&mut connection, caller, quota.windows(), take, now_ms)).await {
            Ok((allowed, counts)) => Some(counts.decision(quota, take, allowed, now_ms)),
            Err(why) => {
                self.disconnect(number, why);
                None
            }
        }
    }

    /// Runs the script for the windows of `name`. Returns whether the request is allowed, and the counts.
    async fn run(
        &self,
        connection: &mut MultiplexedConnection,
        name: &str,
        windows: &[Window],
        take: u32,
        now_ms: i64,
    ) -> RedisResult<(bool, Counts)> {
        let mut call = self.script.prepare_invoke();
        call.key(format!("{PREFIX}{name}")).arg(now_ms).arg(MAX_CLOCK_SKEW_MS).arg(take);
        for window in windows {
            call.arg(window.limit).arg(window.millis());
        }
        let reply: Vec<i64> = call.invoke_async(connection).await?;
        let unexpected = (ErrorKind::UnexpectedReturnType, "unexpected reply from the quota script");
        parse(&reply).ok_or_else(|| unexpected.into())
    }

    /// Connects to Redis and checks that it works.
    pub async fn connect(&self) {
        match self.open_connection().await {
            Ok(connection) => {
                let number = self.opened.fetch_add(1, Ordering::Relaxed);
                self.metrics.up.set(1);
                let fresh = Some(Numbered { number, connection });
                *self.connection.write() = fresh;
            }
            Err(why) => self.set_reason(why),
        }
    }

    async fn open_connection(&self) -> Result<MultiplexedConnection, String> {
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(CALL_LIMIT));
        let opened = self.client.get_multiplexed_async_connection_with_config(&config);
        let mut connection = within(CONNECT_LIMIT, opened).await?;
        // The time is always 0, so the window never closes, and the key expires when it is no longer used.
        within(CALL_LIMIT, self.run(&mut connection, PROBE, &[PROBE_WINDOW], 1, 0)).await?;
        Ok(connection)
    }

    /// Closes a connection, if it is still the one in use.
    fn disconnect(&self, number: u64, why: String) {
        let mut current = self.connection.write();
        if current.as_ref().is_some_and(|current| current.number == number) {
            *current = None;
            self.metrics.up.set(0);
            self.set_reason(why);
            self.lost.notify_one();
        }
    }

    fn set_reason(&self, why: String) {
        *self.reason.lock() = Some(why);
    }

    /// Reconnects whenever Redis is unavailable and logs changes, until the service stops.
    pub async fn watch(&self, stopping: &CancellationToken) {
        let mut logged = Logged::default();
        let work = async {
            loop {
                if self.is_up() {
                    logged.log_available();
                    self.lost.notified().await;
                }
                if let Some(reason) = self.reason.lock().take() {
                    logged.log_unavailable(&reason);
                }
                sleep(RETRY_EVERY).await;
                if !self.is_up() {
                    self.connect().await;
                }
            }
        };
        stopping.run_until_cancelled(work).await;
    }
}

/// The state of Redis as last logged.
#[derive(Debug, Default)]
struct Logged {
    logged_at: Option<Instant>,
    is_unavailable: bool,
}

impl Logged {
    fn log_unavailable(&mut self, reason: &str) {
        if self.logged_at.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
            tracing::error!("Redis is unavailable, counting quotas per replica: {reason}");
            *self = Self { logged_at: Some(Instant::now()), is_unavailable: true };
        }
    }

    fn log_available(&mut self) {
        if mem::take(&mut self.is_unavailable) {
            tracing::info!("Redis is available again, sharing quotas");
        }
    }
}

/// Awaits `call` within `limit`; the error says why it failed.
async fn within<T>(limit: Duration, call: impl Future<Output = RedisResult<T>>) -> Result<T, String> {
    match timeout(limit, call).await {
        Ok(reply) => reply.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no reply within {} ms", limit.as_millis())),
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

/// Parses the reply of the script.
fn parse(reply: &[i64]) -> Option<(bool, Counts)> {
    let (allowed, windows) = reply.split_first()?;
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
