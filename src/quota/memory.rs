//! The in-memory limiter of one process.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};

use parking_lot::{Mutex, MutexGuard};

use super::counts::Counts;
use super::{Decision, Quota};

/// The number of shards. Locks are held for well under a microsecond; this many keep contention low.
const SHARDS: usize = 64;

/// How many callers are considered for eviction when a shard is full.
const CANDIDATES: usize = 16;

/// Counts the requests of callers, identified by a key `K`.
#[derive(Debug)]
pub struct Limiter<K> {
    shards: Vec<Mutex<HashMap<K, Counts>>>,
    hasher: RandomState,
    max_per_shard: usize,
}

impl<K: Hash + Eq + Copy> Limiter<K> {
    /// Creates a limiter that remembers at most `max_callers`. Beyond that, it evicts the caller whose
    /// windows close soonest among a few, whose count starts again: the price of bounded memory.
    #[must_use]
    pub fn new(max_callers: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            max_per_shard: max_callers.div_ceil(SHARDS).max(1),
        }
    }

    /// Counts one request of `caller` at `now_ms` and decides whether it is allowed.
    pub fn hit(&self, caller: K, quota: &Quota, now_ms: i64) -> Decision {
        let mut shard = self.shard(&caller);
        if shard.len() >= self.max_per_shard && !shard.contains_key(&caller) {
            evict_one(&mut shard);
        }
        shard.entry(caller).or_default().hit(quota, 1, now_ms)
    }

    /// Decides whether a request of `caller` at `now_ms` would be allowed, without counting it.
    pub fn peek(&self, caller: K, quota: &Quota, now_ms: i64) -> Decision {
        let mut counts = self.shard(&caller).get(&caller).copied().unwrap_or_default();
        counts.hit(quota, 0, now_ms)
    }

    /// Removes every caller whose windows are closed at `now_ms`.
    pub fn sweep(&self, now_ms: i64) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.retain(|_, counts| counts.idle_from() > now_ms);
            let wanted = shard.len() * 2;
            shard.shrink_to(wanted);
        }
    }

    /// Returns the number of remembered callers.
    #[must_use]
    pub fn callers(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    fn shard(&self, caller: &K) -> MutexGuard<'_, HashMap<K, Counts>> {
        #[expect(clippy::cast_possible_truncation, reason = "any bits of a hash will do")]
        let hash = self.hasher.hash_one(caller) as usize;
        lock(&self.shards[hash % SHARDS])
    }
}

/// Locks a shard. Counts are consistent at every step, so a poisoned lock can be used.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

/// Evicts the caller whose windows close soonest among a few; those already closed come first.
fn evict_one<K: Hash + Eq + Copy>(shard: &mut HashMap<K, Counts>) {
    let soonest = shard.iter().take(CANDIDATES).min_by_key(|(_, counts)| counts.idle_from());
    if let Some(caller) = soonest.map(|(caller, _)| *caller) {
        shard.remove(&caller);
    }
}
