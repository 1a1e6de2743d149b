//! The named keys, cached in memory.
//!
//! All keys are read again every few seconds, so that checking one costs no round trip and a change made
//! elsewhere is seen soon. While the store is unavailable, the cache remains in use, so that events can still
//! be authenticated and spooled.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::key::{KeyId, NamedKey, PlainKey, SecretHash, Status};
use crate::clock::Clock;
use crate::log_on_change::LogOnChange;
use crate::store::{Store, StoreError};

/// How often the keys are read.
const READ_EVERY: Duration = Duration::from_secs(3);

/// How often key usage is recorded.
const RECORD_EVERY: Duration = Duration::from_secs(3);

/// How far the stored time of last use may lag, in seconds.
const USE_STEP: i64 = 60;

/// The maximum number of uses recorded in one transaction.
const MAX_USES: usize = 200;

/// The maximum number of concurrent key look-ups: made-up ids must not use up the store's connections.
const MAX_LOOK_UPS: usize = 2;

/// The cache of named keys.
#[derive(Debug, Clone)]
pub struct KeyCache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: Clock,
    cache: RwLock<Cached>,
    /// Checked instead of a key that does not exist, so that rejecting either takes the same time.
    placeholder: Arc<CachedKey>,
    look_ups: Semaphore,
}

/// The cached keys; empty until the first read.
#[derive(Debug, Default)]
struct Cached {
    keys: HashMap<KeyId, Arc<CachedKey>>,
    /// How many keys were cached one by one. What was read from the store before one of them may be older
    /// than it.
    changes: u64,
}

/// A cached key.
#[derive(Debug)]
pub struct CachedKey {
    /// The key.
    pub key: NamedKey,
    /// When this replica last saw it used, in seconds since 1970; 0 for never.
    used: AtomicI64,
    /// Which of [`Cached::changes`] cached it; 0 if it was read with all others.
    change: u64,
}

/// The time of a rejection after a look-up is a multiple of this, much longer than what reading a row adds.
const REJECTION_STEP: Duration = Duration::from_millis(5);

/// Why a key in the form of a named one was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected {
    /// No key has this id and secret: in the cache, or, after a look-up, no key has this id in the store.
    Unknown,
    /// The id is known, but the secret is wrong or the key was revoked.
    Invalid,
    /// The key has expired.
    Expired,
    /// The store is unavailable.
    Unavailable,
}

impl KeyCache {
    /// Creates an empty cache of the keys in `store`.
    #[must_use]
    pub fn new(store: Store, clock: Clock) -> Self {
        let placeholder = Arc::new(CachedKey::new(NamedKey::placeholder()));
        let (cache, look_ups) = (RwLock::default(), Semaphore::new(MAX_LOOK_UPS));
        Self(Arc::new(Inner { store, clock, cache, placeholder, look_ups }))
    }

    /// Checks a key against the cache. A wrong id and a wrong secret get the same answer in the same time.
    pub fn check(&self, presented: &PlainKey) -> Result<Arc<CachedKey>, Rejected> {
        let found = self.cache().keys.get(&presented.id).cloned();
        found.unwrap_or_else(|| self.0.placeholder.clone()).admit(&presented.hash(), self.now())
    }

    /// Returns the key `id` if `secret` is the hash of its secret, or of the previous one within its grace period, and it can be used. Looks it up in the store if the cache does not accept it: it may just have been created or rotated elsewhere.
    pub async fn still_accepts(&self, id: KeyId, secret: &SecretHash) -> Result<Arc<CachedKey>, Rejected> {
        match self.remembers(id, secret) {
            Err(Rejected::Unknown) => self.look_up_unpadded(id, secret).await,
            checked => checked,
        }
    }

    /// The same from memory alone.
    pub fn remembers(&self, id: KeyId, secret: &SecretHash) -> Result<Arc<CachedKey>, Rejected> {
        let found = self.cache().keys.get(&id).cloned();
        found.ok_or(Rejected::Unknown)?.admit(secret, self.now())
    }

    /// Looks up a key that the cache does not accept in the store: it may just have been created or rotated.
    /// A rejection takes a time that does not tell whether the id exists.
    pub async fn look_up(&self, presented: &PlainKey) -> Result<Arc<CachedKey>, Rejected> {
        let begun = Instant::now();
        let found = self.look_up_unpadded(presented.id, &presented.hash()).await;
        if found.is_err() {
            let steps = begun.elapsed().as_millis() / REJECTION_STEP.as_millis() + 1;
            sleep_until(begun + REJECTION_STEP * u32::try_from(steps).unwrap_or(u32::MAX)).await;
        }
        found
    }

    async fn look_up_unpadded(&self, id: KeyId, secret: &SecretHash) -> Result<Arc<CachedKey>, Rejected> {
        let Ok(_permit) = self.0.look_ups.try_acquire() else { return Err(Rejected::Unavailable) };
        let begun = self.cache().changes;
        let found = match self.0.store.key(id).await {
            Ok(found) => found,
            // Reading all keys logs unreadable rows.
            Err(StoreError::Unreadable(_)) => None,
            Err(error) => {
                tracing::debug!("cannot look up an API key: {error}");
                return Err(Rejected::Unavailable);
            }
        };
        let is_known = found.is_some();
        let fresh = Arc::new(CachedKey::new(found.unwrap_or_else(NamedKey::placeholder)));
        match fresh.admit(secret, self.now()) {
            Ok(cached) => {
                let cached = self.cache_mut().put(cached.key.clone(), begun);
                cached.admit(secret, self.now())
            }
            Err(Rejected::Unknown) if is_known => Err(Rejected::Invalid),
            Err(why) => Err(why),
        }
    }

    /// Reads all keys into the cache. Returns what is wrong with the rows that cannot be read; their keys are
    /// rejected.
    pub async fn read(&self) -> Result<Vec<StoreError>, StoreError> {
        let begun = self.cache().changes;
        let (keys, unreadable) = self.list().await?;
        self.cache_mut().replace_all(keys, begun);
        Ok(unreadable)
    }

    /// Returns every key of the store, revoked ones included, and what is wrong with the rows that cannot be
    /// read.
    pub async fn list(&self) -> Result<(Vec<NamedKey>, Vec<StoreError>), StoreError> {
        let (mut keys, mut unreadable) = (Vec::new(), Vec::new());
        for row in self.0.store.keys().await? {
            match row {
                Ok(key) => keys.push(key),
                Err(error) => unreadable.push(error),
            }
        }
        Ok((keys, unreadable))
    }

    /// Keeps the cache up to date and records key usage, until the service stops.
    pub async fn run(self, stopping: CancellationToken) {
        let work = Box::pin(async { tokio::join!(self.keep_fresh(), self.keep_recorded()) });
        stopping.run_until_cancelled(work).await;
        drop(self.record_uses().await);
    }

    async fn keep_fresh(&self) {
        let mut log = LogOnChange::new("API keys can be read again");
        loop {
            log.update(match self.read().await {
                Ok(unreadable) => unreadable.first().map(|error| {
                    format!("rejecting {} API keys whose rows cannot be read: {error}", unreadable.len())
                }),
                Err(error) => Some(format!("cannot read API keys, keeping the last ones read: {error}")),
            });
            sleep(READ_EVERY).await;
        }
    }

    async fn keep_recorded(&self) {
        let mut log = LogOnChange::new("API key usage can be recorded again");
        loop {
            let recorded = self.record_uses().await;
            log.update(
                recorded.err().map(|error| format!("cannot record when API keys were last used: {error}")),
            );
            sleep(RECORD_EVERY).await;
        }
    }

    async fn record_uses(&self) -> Result<(), StoreError> {
        let mut uses: Vec<_> =
            self.cache().keys.values().filter_map(|cached| cached.use_to_record()).collect();
        uses.sort_unstable_by_key(|(id, _)| *id);
        for batch in uses.chunks(MAX_USES) {
            self.0.store.record_key_uses(batch).await?;
        }
        Ok(())
    }

    /// Caches a changed key at once.
    pub(super) fn replace(&self, key: NamedKey) {
        self.cache_mut().put(key, u64::MAX);
    }

    /// Returns the store of the keys.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Returns the current time.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.0.clock.now()
    }

    fn cache(&self) -> RwLockReadGuard<'_, Cached> {
        self.0.cache.read()
    }

    fn cache_mut(&self) -> RwLockWriteGuard<'_, Cached> {
        self.0.cache.write()
    }
}

impl Cached {
    /// Caches a key that was read when there were `begun` changes, unless it was changed since. Returns the
    /// cached one.
    fn put(&mut self, key: NamedKey, begun: u64) -> Arc<CachedKey> {
        let known = self.keys.get(&key.id);
        if let Some(newer) = known.filter(|known| known.change > begun) {
            return newer.clone();
        }
        self.changes += 1;
        let cached = Arc::new(CachedKey { change: self.changes, ..CachedKey::with_usage(known, key) });
        self.keys.insert(cached.key.id, cached.clone());
        cached
    }

    /// Caches all keys as read when there were `begun` changes, except those changed since.
    fn replace_all(&mut self, keys: Vec<NamedKey>, begun: u64) {
        let known = mem::take(&mut self.keys);
        let fresh =
            keys.into_iter().map(|key| (key.id, Arc::new(CachedKey::with_usage(known.get(&key.id), key))));
        self.keys = fresh.collect();
        self.keys.extend(known.into_iter().filter(|(_, cached)| cached.change > begun));
    }
}

impl CachedKey {
    const fn new(key: NamedKey) -> Self {
        Self { key, used: AtomicI64::new(0), change: 0 }
    }

    /// Returns `key` with the usage seen so far.
    fn with_usage(known: Option<&Arc<Self>>, key: NamedKey) -> Self {
        let used = known.map_or(0, |cached| cached.used.load(Ordering::Relaxed));
        Self { used: used.into(), ..Self::new(key) }
    }

    fn admit(self: Arc<Self>, secret: &SecretHash, now: DateTime<Utc>) -> Result<Arc<Self>, Rejected> {
        match (self.key.accepts(secret, now), self.key.status(now)) {
            (false, _) => Err(Rejected::Unknown),
            (true, Status::Revoked) => Err(Rejected::Invalid),
            (true, Status::Expired) => Err(Rejected::Expired),
            (true, Status::Active) => {
                self.used.store(now.timestamp(), Ordering::Relaxed);
                Ok(self)
            }
        }
    }

    /// Returns when it was used, if the stored time lags by [`USE_STEP`] or more.
    fn use_to_record(&self) -> Option<(KeyId, DateTime<Utc>)> {
        let used = self.used.load(Ordering::Relaxed);
        let recorded = self.key.last_used_at.map_or(0, |at| at.timestamp());
        let used = DateTime::from_timestamp(used, 0).filter(|_| used >= recorded + USE_STEP);
        used.map(|used| (self.key.id, used))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(revoked: bool) -> NamedKey {
        NamedKey {
            id: KeyId(7),
            revoked_at: revoked.then_some(DateTime::UNIX_EPOCH),
            ..NamedKey::placeholder()
        }
    }

    fn is_revoked(cache: &Cached) -> bool {
        cache.keys[&KeyId(7)].key.revoked_at.is_some()
    }

    #[test]
    fn keys_read_before_a_change_do_not_undo_it() {
        let mut cache = Cached::default();
        cache.replace_all(vec![key(false)], 0);
        let begun = cache.changes;
        cache.put(key(true), u64::MAX);
        cache.replace_all(vec![key(false)], begun);
        assert!(is_revoked(&cache), "all keys were read before");
        cache.replace_all(Vec::new(), begun);
        assert!(is_revoked(&cache), "a key created meanwhile is kept");
        assert!(cache.put(key(false), begun).key.revoked_at.is_some(), "it was looked up before");
        let begun = cache.changes;
        cache.replace_all(vec![key(false)], begun);
        assert!(!is_revoked(&cache), "what was read later is cached");
        cache.replace_all(Vec::new(), begun);
        assert!(cache.keys.is_empty());
    }
}
