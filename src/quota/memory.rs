//! The fixed windows of one process, kept in memory.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};

use parking_lot::{Mutex, MutexGuard};

use super::counts::Counts;
use super::{Decision, Quota};

/// Locks are held for well under a microsecond; this many keep cores out of each other's way.
const SHARDS: usize = 64;

/// How many callers are looked at to choose the one that makes room when a shard is full.
const CANDIDATES: usize = 16;

/// Counts the requests of callers, each known by a key `K`.
#[derive(Debug)]
pub struct Limiter<K> {
    shards: Vec<Mutex<HashMap<K, Counts>>>,
    hasher: RandomState,
    max_per_shard: usize,
}

impl<K: Hash + Eq + Copy> Limiter<K> {
    /// A limiter that remembers at most `max_callers`. Beyond it, the caller whose windows close soonest among a few
    /// is forgotten, which costs memory's bound a little strictness towards that one.
    #[must_use]
    pub fn new(max_callers: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            max_per_shard: max_callers.div_ceil(SHARDS).max(1),
        }
    }

    /// Counts one request of `caller` at `now_ms`, and says whether it passes.
    pub fn hit(&self, caller: K, quota: &Quota, now_ms: i64) -> Decision {
        let mut shard = self.shard(&caller);
        if shard.len() >= self.max_per_shard && !shard.contains_key(&caller) {
            make_room(&mut shard);
        }
        shard.entry(caller).or_default().hit(quota, 1, now_ms)
    }

    /// Says whether a request of `caller` at `now_ms` would pass, and counts none.
    pub fn peek(&self, caller: K, quota: &Quota, now_ms: i64) -> Decision {
        let mut counts = self.shard(&caller).get(&caller).copied().unwrap_or_default();
        counts.hit(quota, 0, now_ms)
    }

    /// Forgets every caller whose windows are closed at `now_ms`.
    pub fn sweep(&self, now_ms: i64) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.retain(|_, counts| counts.idle_from() > now_ms);
            let wanted = shard.len() * 2;
            shard.shrink_to(wanted);
        }
    }

    /// How many callers are remembered.
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

/// A limiter's state is a plain count at every step, so it is sound even where a thread died holding it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

/// Forgets the caller whose windows close soonest among a few; a closed one is always the soonest.
fn make_room<K: Hash + Eq + Copy>(shard: &mut HashMap<K, Counts>) {
    let soonest = shard.iter().take(CANDIDATES).min_by_key(|(_, counts)| counts.idle_from());
    if let Some(caller) = soonest.map(|(caller, _)| *caller) {
        shard.remove(&caller);
    }
}
