//! The limiter in use: Redis if it is configured and available, otherwise memory.

use std::fmt::Display;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Decision, Quota, memory, shared};
use crate::clock::Clock;

/// How often idle callers are removed from memory.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// Counts the requests of callers, identified by a key `K`, whose text is used in Redis.
#[derive(Debug, Clone)]
pub struct Limits<K>(Arc<Inner<K>>);

#[derive(Debug)]
struct Inner<K> {
    memory: memory::Limiter<K>,
    shared: Option<shared::Limiter>,
}

impl<K: Hash + Eq + Copy + Display> Limits<K> {
    /// Creates a limiter that uses `shared`, if there is one, and falls back to `memory`.
    #[must_use]
    pub fn new(memory: memory::Limiter<K>, shared: Option<shared::Limiter>) -> Self {
        Self(Arc::new(Inner { memory, shared }))
    }

    /// Counts one request of `caller` at `now_ms` and decides whether it is allowed. The call to Redis is
    /// boxed: it is large, and most requests do without.
    pub async fn hit(&self, caller: K, quota: &Quota, now_ms: i64) -> Decision {
        if let Some(shared) = &self.0.shared
            && let Some(decision) = Box::pin(shared.hit(&caller.to_string(), quota, now_ms)).await
        {
            return decision;
        }
        self.0.memory.hit(caller, quota, now_ms)
    }

    /// Decides whether a request of `caller` at `now_ms` would be allowed, without counting it.
    pub async fn peek(&self, caller: K, quota: &Quota, now_ms: i64) -> Decision {
        if let Some(shared) = &self.0.shared
            && let Some(decision) = Box::pin(shared.peek(&caller.to_string(), quota, now_ms)).await
        {
            return decision;
        }
        self.0.memory.peek(caller, quota, now_ms)
    }

    /// Returns whether Redis is available; `None` if it is not configured.
    #[must_use]
    pub fn shared_is_up(&self) -> Option<bool> {
        self.0.shared.as_ref().map(shared::Limiter::is_up)
    }

    /// Tries to connect to Redis, if it is configured, for a second at most.
    pub async fn connect(&self) {
        if let Some(shared) = &self.0.shared {
            shared.connect().await;
        }
    }

    /// Keeps the connection to Redis and removes idle callers, until the service stops.
    pub async fn run(self, clock: Clock, stopping: CancellationToken) {
        let sweep = async {
            while stopping.run_until_cancelled(sleep(SWEEP_EVERY)).await.is_some() {
                self.0.memory.sweep(clock.now().timestamp_millis());
            }
        };
        let watch = async {
            if let Some(shared) = &self.0.shared {
                shared.watch(&stopping).await;
            }
        };
        tokio::join!(sweep, watch);
    }
}
