//! The fixed windows of one process, kept in memory.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Decision, MAX_WINDOWS, Quota, Window};

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

/// One caller's open windows, in the order of its quota's windows.
#[derive(Debug, Clone, Copy, Default)]
struct Counts([Count; MAX_WINDOWS]);

/// The state of a window: when it closes, in milliseconds since 1970, and how many requests it has let pass.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    closes_ms: i64,
    passed: u32,
}

impl Counts {
    /// When the last of the windows closes; from then on the caller is as good as unknown.
    fn idle_from(&self) -> i64 {
        self.0.iter().map(|count| count.closes_ms).max().unwrap_or(0)
    }
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
        let kept = shard.entry(caller).or_default();
        let mut counts = *kept;
        let open = || quota.windows().iter().copied().zip(0..MAX_WINDOWS);
        for (window, i) in open() {
            counts.0[i].reopen_if_closed(window, now_ms);
        }
        let allowed = open().all(|(window, i)| counts.0[i].passed < window.limit);
        if allowed {
            open().for_each(|(_, i)| counts.0[i].passed += 1);
            *kept = counts;
        }
        open()
            .map(|(window, i)| counts.0[i].decision(window, allowed, now_ms))
            .min_by_key(|decision| (decision.remaining, -decision.closes_ms))
            .expect("a quota has at least one window")
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
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Forgets the caller whose windows close soonest among a few; a closed one is always the soonest.
fn make_room<K: Hash + Eq + Copy>(shard: &mut HashMap<K, Counts>) {
    let soonest = shard.iter().take(CANDIDATES).min_by_key(|(_, counts)| counts.idle_from());
    if let Some(caller) = soonest.map(|(caller, _)| *caller) {
        shard.remove(&caller);
    }
}

impl Count {
    /// Opens the window anew when it is closed, or when the clock was set back to before it opened.
    fn reopen_if_closed(&mut self, window: Window, now_ms: i64) {
        let opened_ms = self.closes_ms - window.millis();
        if now_ms >= self.closes_ms || now_ms < opened_ms {
            *self = Self { closes_ms: now_ms + window.millis(), passed: 0 };
        }
    }

    fn decision(self, window: Window, allowed: bool, now_ms: i64) -> Decision {
        let remaining = window.limit.saturating_sub(self.passed);
        let refuses = !allowed && remaining == 0;
        let retry_ms = if refuses { self.closes_ms - now_ms } else { 0 };
        Decision { window, allowed, remaining, closes_ms: self.closes_ms, retry_ms }
    }
}
