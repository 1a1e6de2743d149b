//! The limiter in use: Redis if it is configured and available, otherwise memory.

use std::array::from_fn;
use std::fmt::Display;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use strum::VariantArray;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Decision, Quota, memory, shared};
use crate::clock::Clock;

/// How often idle callers are removed from memory.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// Callers whose counts have a store of their own in memory, so that many of one class cannot push out those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray)]
pub enum CallerClass {
    /// Holders of keys and tokens, of which there are only as many as somebody made.
    Keys,
    /// Addresses without a valid key, by route.
    Addresses,
    /// Addresses that failed to authenticate.
    Failures,
}

/// What is counted.
pub trait Counted: Hash + Eq + Copy + Display {
    /// Returns the class of its caller.
    fn class(&self) -> CallerClass;
}

/// Counts the requests of callers, identified by a key `K`, whose text is used in Redis.
#[derive(Debug, Clone)]
pub struct Limits<K>(Arc<Inner<K>>);

#[derive(Debug)]
struct Inner<K> {
    memory: [memory::Limiter<K>; CallerClass::VARIANTS.len()],
    shared: Option<shared::Limiter>,
}

impl<K: Counted> Limits<K> {
    /// Creates a limiter that uses `shared`, if there is one, and falls back to memory, where it remembers at most `max_callers` of
    /// each class.
    #[must_use]
    pub fn new(max_callers: usize, shared: Option<shared::Limiter>) -> Self {
        Self(Arc::new(Inner { memory: from_fn(|_| memory::Limiter::new(max_callers)), shared }))
    }

    /// Counts one request of `caller` at `now_ms` and decides whether it is allowed. The call to Redis is
    /// boxed: it is large, and most requests do without.
    pub async fn hit(&self, caller: K, quota: &Quota, now_ms: i64) -> Decision {
        if let Some(shared) = &self.0.shared
            && let Some(decision) = Box::pin(shared.hit(&caller.to_string(), quota, now_ms)).await
        {
            return decision;
        }
        self.0.memory[caller.class() as usize].hit(caller, quota, now_ms)
    }

    /// Decides whether a request of `caller` at `now_ms` would be allowed, without counting it.
    pub async fn peek(&self, caller: K, quota: &Quota, now_ms: i64) -> Decision {
        if let Some(shared) = &self.0.shared
            && let Some(decision) = Box::pin(shared.peek(&caller.to_string(), quota, now_ms)).await
        {
            return decision;
        }
        self.0.memory[caller.class() as usize].peek(caller, quota, now_ms)
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
                let now_ms = clock.now().timestamp_millis();
                self.0.memory.iter().for_each(|callers| callers.sweep(now_ms));
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

#[cfg(test)]
mod tests {
    use std::fmt::{self, Formatter};

    use super::*;
    use crate::config::Setting;

    /// The number of a caller, and its class.
    #[derive(Clone, Copy, PartialEq, Eq, Hash)]
    struct Numbered(u32, bool);

    impl Display for Numbered {
        fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
            self.0.fmt(f)
        }
    }

    impl Counted for Numbered {
        fn class(&self) -> CallerClass {
            if self.1 { CallerClass::Keys } else { CallerClass::Addresses }
        }
    }

    #[tokio::test]
    async fn many_addresses_do_not_reset_a_key() {
        let (limits, quota) = (Limits::new(1_000, None), Quota::read("2 per hour").unwrap());
        let hit = async |caller| limits.hit(caller, &quota, 0).await.allowed;
        assert!(hit(Numbered(0, true)).await && hit(Numbered(0, true)).await);
        for address in 0..50_000 {
            hit(Numbered(address, false)).await;
        }
        assert!(!hit(Numbered(0, true)).await, "its quota is still used up");
    }
}
