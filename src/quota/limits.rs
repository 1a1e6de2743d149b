//! The limiter that is in use: Redis where there is one and it is well, memory else.

use std::fmt::Display;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Decision, Quota, memory, shared};
use crate::clock::Clock;

/// How often callers that have been quiet are forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// Counts the requests of callers, each known by a key `K`, whose text is its name in Redis.
#[derive(Debug, Clone)]
pub struct Limits<K>(Arc<Inner<K>>);

#[derive(Debug)]
struct Inner<K> {
    memory: memory::Limiter<K>,
    shared: Option<shared::Limiter>,
}

impl<K: Hash + Eq + Copy + Display> Limits<K> {
    /// Counts in `shared`, where there is one, with `memory` to fall back on.
    #[must_use]
    pub fn new(memory: memory::Limiter<K>, shared: Option<shared::Limiter>) -> Self {
        Self(Arc::new(Inner { memory, shared }))
    }

    /// Counts one request of `caller` at `now_ms`, and says whether it passes. The call to Redis is boxed: it is large, and
    /// most requests are counted without.
    pub async fn hit(&self, caller: K, quota: &Quota, now_ms: i64) -> Decision {
        if let Some(shared) = &self.0.shared
            && let Some(decision) = Box::pin(shared.hit(&caller.to_string(), quota, now_ms)).await
        {
            return decision;
        }
        self.0.memory.hit(caller, quota, now_ms)
    }

    /// Says whether a request of `caller` at `now_ms` would pass, and counts none.
    pub async fn peek(&self, caller: K, quota: &Quota, now_ms: i64) -> Decision {
        if let Some(shared) = &self.0.shared
            && let Some(decision) = Box::pin(shared.peek(&caller.to_string(), quota, now_ms)).await
        {
            return decision;
        }
        self.0.memory.peek(caller, quota, now_ms)
    }

    /// Whether Redis answers; `None` where there is none.
    #[must_use]
    pub fn shared_is_up(&self) -> Option<bool> {
        self.0.shared.as_ref().map(shared::Limiter::is_up)
    }

    /// Looks for Redis, where there is to be one, for a second at most.
    pub async fn connect(&self) {
        if let Some(shared) = &self.0.shared {
            shared.connect().await;
        }
    }

    /// Looks after Redis, and forgets callers that have been quiet, until the service stops.
    pub async fn tend(self, clock: Clock, stopping: CancellationToken) {
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
