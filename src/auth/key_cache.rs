//! The named keys, as a replica knows them.
//!
//! A copy of all keys is kept in memory and read anew every few seconds, so that checking one costs no round trip, and a
//! change made elsewhere is known soon. While the store is away the copy stays: events that are kept elsewhere
//! meanwhile come from holders of keys.

use std::collections::HashMap;
use std::mem;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::key::{KeyId, NamedKey, PlainKey, Status};
use crate::clock::Clock;
use crate::log_on_change::LogOnChange;
use crate::store::{Store, StoreError};

/// How often the copy is read anew.
const READ_EVERY: Duration = Duration::from_secs(3);

/// How often the uses of keys are noted.
const NOTE_EVERY: Duration = Duration::from_secs(3);

/// How far the stored time of a key's last use may be behind, in seconds.
const USE_STEP: i64 = 60;

/// Uses that are noted in one transaction.
const USES_TOGETHER: usize = 200;

/// Keys that may be looked up in the store at the same time: strangers with made-up ids must not take its connections.
const LOOK_UPS: usize = 2;

/// The named keys.
#[derive(Debug, Clone)]
pub struct KeyCache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: Clock,
    copy: RwLock<Copied>,
    /// Stands in for a key that does not exist, so that refusing it is the same work.
    nobody: Arc<CachedKey>,
    look_ups: Semaphore,
}

/// The copy; empty until the store was read for the first time.
#[derive(Debug, Default)]
struct Copied {
    keys: HashMap<KeyId, Arc<CachedKey>>,
    /// How many keys came in one by one. Whatever was read from the store before one of them did may be older than it.
    changes: u64,
}

/// A key in the copy.
#[derive(Debug)]
pub struct CachedKey {
    /// The key.
    pub key: NamedKey,
    /// When this replica last saw it used, in seconds since 1970; 0 for never.
    used: AtomicI64,
    /// Which of the [`Copied::changes`] brought it; 0 when it came with all others.
    change: u64,
}

/// What is wrong with a key that has the form of a named one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected {
    /// No key has this id and this secret: in the copy, or no such id in the store when that was asked.
    Unknown,
    /// There is such an id, but the secret is wrong, or the key was revoked.
    Invalid,
    /// The secret is right, but the time is over.
    Expired,
    /// The store could not be asked.
    Unavailable,
}

impl KeyCache {
    /// The keys in `store`, none of which is known yet.
    #[must_use]
    pub fn new(store: Store, clock: Clock) -> Self {
        let nobody = Arc::new(CachedKey::new(NamedKey::nobodys()));
        let (copy, look_ups) = (RwLock::default(), Semaphore::new(LOOK_UPS));
        Self(Arc::new(Inner { store, clock, copy, nobody, look_ups }))
    }

    /// Checks a key against the copy. Whether the id or the secret does not fit is the same answer and the same work.
    pub fn check(&self, presented: &PlainKey) -> Result<Arc<CachedKey>, Rejected> {
        let found = self.copy().keys.get(&presented.id).cloned();
        found.unwrap_or_else(|| self.0.nobody.clone()).admit(presented, self.now())
    }

    /// Looks up in the store a key that does not fit the copy: it may have been made, or given this secret, a moment ago.
    pub async fn look_up(&self, presented: &PlainKey) -> Result<Arc<CachedKey>, Rejected> {
        let Ok(_permit) = self.0.look_ups.try_acquire() else { return Err(Rejected::Unavailable) };
        let begun = self.copy().changes;
        let found = match self.0.store.key(presented.id).await {
            Ok(found) => found,
            // Whoever reads all keys tells of it, and of a store that is away.
            Err(StoreError::Unreadable(_)) => None,
            Err(error) => {
                tracing::debug!("an API key cannot be looked up: {error}");
                return Err(Rejected::Unavailable);
            }
        };
        let is_known = found.is_some();
        let fresh = Arc::new(CachedKey::new(found.unwrap_or_else(NamedKey::nobodys)));
        match fresh.admit(presented, self.now()) {
            Ok(held) => {
                let held = self.copy_mut().put(held.key.clone(), begun);
                held.admit(presented, self.now())
            }
            Err(Rejected::Unknown) if is_known => Err(Rejected::Invalid),
            Err(why) => Err(why),
        }
    }

    /// Reads all keys from the store, and gives what is wrong with the rows that cannot be read. Their keys are unknown.
    pub async fn read(&self) -> Result<Vec<StoreError>, StoreError> {
        let begun = self.copy().changes;
        let (keys, unreadable) = self.list().await?;
        self.copy_mut().renew(keys, begun);
        Ok(unreadable)
    }

    /// Every key of the store, revoked ones too, and what is wrong with the rows that cannot be read.
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

    /// Reads all keys again and again, and notes when they were used, until the service stops.
    pub async fn run(self, stopping: CancellationToken) {
        let work = Box::pin(async { tokio::join!(self.keep_fresh(), self.keep_noted()) });
        stopping.run_until_cancelled(work).await;
        drop(self.note_uses().await);
    }

    async fn keep_fresh(&self) {
        let mut log = LogOnChange::new("API keys can be read again");
        loop {
            log.update(match self.read().await {
                Ok(unreadable) => unreadable.first().map(|error| {
                    format!("{} API keys cannot be read and are refused: {error}", unreadable.len())
                }),
                Err(error) => {
                    Some(format!("API keys cannot be read, those that were read last stay in use: {error}"))
                }
            });
            sleep(READ_EVERY).await;
        }
    }

    async fn keep_noted(&self) {
        let mut log = LogOnChange::new("the last use of API keys can be noted again");
        loop {
            let noted = self.note_uses().await;
            log.update(noted.err().map(|error| format!("the last use of API keys cannot be noted: {error}")));
            sleep(NOTE_EVERY).await;
        }
    }

    async fn note_uses(&self) -> Result<(), StoreError> {
        let mut uses: Vec<_> = self.copy().keys.values().filter_map(|held| held.use_to_note()).collect();
        uses.sort_unstable_by_key(|(id, _)| *id);
        for together in uses.chunks(USES_TOGETHER) {
            self.0.store.note_key_uses(together).await?;
        }
        Ok(())
    }

    /// Puts a changed key into the copy at once.
    pub(super) fn replace(&self, key: NamedKey) {
        self.copy_mut().put(key, u64::MAX);
    }

    /// The store behind.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.0.clock.now()
    }

    fn copy(&self) -> RwLockReadGuard<'_, Copied> {
        self.0.copy.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn copy_mut(&self) -> RwLockWriteGuard<'_, Copied> {
        self.0.copy.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Copied {
    /// Takes over one key as it was read when there were `begun` changes, unless it was changed since. Gives the one
    /// that is held then.
    fn put(&mut self, key: NamedKey, begun: u64) -> Arc<CachedKey> {
        let known = self.keys.get(&key.id);
        if let Some(newer) = known.filter(|known| known.change > begun) {
            return newer.clone();
        }
        self.changes += 1;
        let held = Arc::new(CachedKey { change: self.changes, ..CachedKey::renewed(known, key) });
        self.keys.insert(held.key.id, held.clone());
        held
    }

    /// Takes over all keys as they were read when there were `begun` changes, but for those that were changed since.
    fn renew(&mut self, keys: Vec<NamedKey>, begun: u64) {
        let known = mem::take(&mut self.keys);
        let fresh =
            keys.into_iter().map(|key| (key.id, Arc::new(CachedKey::renewed(known.get(&key.id), key))));
        self.keys = fresh.collect();
        self.keys.extend(known.into_iter().filter(|(_, held)| held.change > begun));
    }
}

impl CachedKey {
    const fn new(key: NamedKey) -> Self {
        Self { key, used: AtomicI64::new(0), change: 0 }
    }

    /// `key` as it is held from now on, with what was noted of its use so far.
    fn renewed(known: Option<&Arc<Self>>, key: NamedKey) -> Self {
        let used = known.map_or(0, |held| held.used.load(Ordering::Relaxed));
        Self { used: used.into(), ..Self::new(key) }
    }

    fn admit(self: Arc<Self>, presented: &PlainKey, now: DateTime<Utc>) -> Result<Arc<Self>, Rejected> {
        match (self.key.opens(&presented.hash(), now), self.key.status(now)) {
            (false, _) => Err(Rejected::Unknown),
            (true, Status::Revoked) => Err(Rejected::Invalid),
            (true, Status::Expired) => Err(Rejected::Expired),
            (true, Status::Active) => {
                self.used.store(now.timestamp(), Ordering::Relaxed);
                Ok(self)
            }
        }
    }

    /// When it was used, if the store does not know it well enough.
    fn use_to_note(&self) -> Option<(KeyId, DateTime<Utc>)> {
        let used = self.used.load(Ordering::Relaxed);
        let noted = self.key.last_used_at.map_or(0, |at| at.timestamp());
        let used = DateTime::from_timestamp(used, 0).filter(|_| used >= noted + USE_STEP);
        used.map(|used| (self.key.id, used))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(revoked: bool) -> NamedKey {
        NamedKey { id: KeyId(7), revoked_at: revoked.then_some(DateTime::UNIX_EPOCH), ..NamedKey::nobodys() }
    }

    fn is_revoked(copy: &Copied) -> bool {
        copy.keys[&KeyId(7)].key.revoked_at.is_some()
    }

    #[test]
    fn what_was_read_before_a_change_does_not_undo_it() {
        let mut copy = Copied::default();
        copy.renew(vec![key(false)], 0);
        let begun = copy.changes;
        copy.put(key(true), u64::MAX);
        copy.renew(vec![key(false)], begun);
        assert!(is_revoked(&copy), "all keys were read before");
        copy.renew(Vec::new(), begun);
        assert!(is_revoked(&copy), "a key that was made meanwhile is kept");
        assert!(copy.put(key(false), begun).key.revoked_at.is_some(), "it was looked up before");
        let begun = copy.changes;
        copy.renew(vec![key(false)], begun);
        assert!(!is_revoked(&copy), "what was read later is taken over");
        copy.renew(Vec::new(), begun);
        assert!(copy.keys.is_empty());
    }
}
