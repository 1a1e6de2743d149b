//! The fixed windows that replicas share, kept in Redis (6 or newer) or Valkey.
//!
//! A request costs one call of a script, which counts it in all windows of its quota at once. Once Redis fails or is slow,
//! its connection is given up, and nobody asks it any more until [`Limiter::watch`] has found it well again: until the
//! script does what it is to do, for a Redis that is full, or a replica, answers everything else.

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

/// What is counted to see whether Redis is well, and in which window. It never has no room.
const PROBE: &str = "probe";
const PROBE_WINDOW: Window = Window { limit: u32::MAX, multiple: 1, unit: Unit::Second };

/// Counts the requests of callers, each known by a name.
pub struct Limiter {
    client: Client,
    script: Script,
    /// `None` while Redis is away. The manager of connections that comes with the crate is not used: it tries no more
    /// once it was refused, for a wrong password, say, that is mended later.
    connection: RwLock<Option<Numbered>>,
    opened: AtomicU64,
    metrics: RedisMetrics,
    /// Why Redis was last given up, until that is logged.
    reason: Mutex<Option<String>>,
    lost: Notify,
}

/// A connection and its number: one that fails late must not take a newer one with it.
#[derive(Clone)]
struct Numbered {
    number: u64,
    connection: MultiplexedConnection,
}

impl Limiter {
    /// A limiter on the Redis at `url`, which need not be there, and is away until [`Limiter::connect`] has found it. An
    /// error is one that a person must mend.
    pub fn open(url: &RedisUrl, metrics: RedisMetrics) -> Result<Self, String> {
        Ok(Self {
            client: client(url).map_err(|error| format!("REDIS_URL cannot be used: {error}"))?,
            script: Script::new(include_str!("window.lua")),
            connection: RwLock::default(),
            opened: AtomicU64::new(0),
            metrics,
            reason: Mutex::default(),
            lost: Notify::new(),
        })
    }

    /// Whether Redis answers.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.current().is_some()
    }

    fn current(&self) -> Option<Numbered> {
        self.connection.read().clone()
    }

    /// Counts one request of `caller` at `now_ms`, and says whether it passes; `None` when Redis does not.
    pub async fn hit(&self, caller: &str, quota: &Quota, now_ms: i64) -> Option<Decision> {
        let decision = self.ask(caller, quota, 1, now_ms).await;
        if decision.is_none() {
            self.metrics.fallbacks.inc();
        }
        decision
    }

    /// Says whether a request of `caller` at `now_ms` would pass, and counts none; `None` when Redis does not.
    pub async fn peek(&self, caller: &str, quota: &Quota, now_ms: i64) -> Option<Decision> {
        self.ask(caller, quota, 0, now_ms).await
    }

    async fn ask(&self, caller: &str, quota: &Quota, take: u32, now_ms: i64) -> Option<Decision> {
        let Numbered { number, mut connection } = self.current()?;
        match within(SLOW, self.run(&mut connection, caller, quota.windows(), take, now_ms)).await {
            Ok((allowed, counts)) => Some(counts.decision(quota, take, allowed, now_ms)),
            Err(why) => {
                self.give_up(number, why);
                None
            }
        }
    }

    /// Runs the script for the windows of `name`. Gives whether the request passes, and the counts with it.
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
        let answer: Vec<i64> = call.invoke_async(connection).await?;
        let unexpected = (ErrorKind::UnexpectedReturnType, "the script answers something else");
        read(&answer).ok_or_else(|| unexpected.into())
    }

    /// Looks whether Redis is there and well.
    pub async fn connect(&self) {
        match self.open_connection().await {
            Ok(connection) => {
                let number = self.opened.fetch_add(1, Ordering::Relaxed);
                self.metrics.up.set(1);
                let fresh = Some(Numbered { number, connection });
                *self.connection.write() = fresh;
            }
            Err(why) => self.note_reason(why),
        }
    }

    async fn open_connection(&self) -> Result<MultiplexedConnection, String> {
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(SLOW));
        let opened = self.client.get_multiplexed_async_connection_with_config(&config);
        let mut connection = within(CONNECT_LIMIT, opened).await?;
        // The time is always the same; so the window never closes, and the key is gone when it is not asked for a while.
        within(SLOW, self.run(&mut connection, PROBE, &[PROBE_WINDOW], 1, 0)).await?;
        Ok(connection)
    }

    /// Gives a connection up, if it is still the one in use.
    fn give_up(&self, number: u64, why: String) {
        let mut current = self.connection.write();
        if current.as_ref().is_some_and(|current| current.number == number) {
            *current = None;
            self.metrics.up.set(0);
            self.note_reason(why);
            self.lost.notify_one();
        }
    }

    fn note_reason(&self, why: String) {
        *self.reason.lock() = Some(why);
    }

    /// Looks for Redis again and again while it is away, and tells the log, until the service stops.
    pub async fn watch(&self, stopping: &CancellationToken) {
        let mut told = Told::default();
        let work = async {
            loop {
                if self.is_up() {
                    told.back();
                    self.lost.notified().await;
                }
                if let Some(reason) = self.reason.lock().take() {
                    told.away(&reason);
                }
                sleep(ASK_EVERY).await;
                if !self.is_up() {
                    self.connect().await;
                }
            }
        };
        stopping.run_until_cancelled(work).await;
    }
}

/// What the log was told of Redis.
#[derive(Debug, Default)]
struct Told {
    away_at: Option<Instant>,
    is_away: bool,
}

impl Told {
    fn away(&mut self, reason: &str) {
        if self.away_at.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
            tracing::error!("Redis cannot be used, each replica counts quotas for itself: {reason}");
            *self = Self { away_at: Some(Instant::now()), is_away: true };
        }
    }

    fn back(&mut self) {
        if mem::take(&mut self.is_away) {
            tracing::info!("Redis is there, replicas share quotas");
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
