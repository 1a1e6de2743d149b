//! The named keys, as a replica knows them.
//!
//! A copy of all keys is kept in memory and read anew every few seconds, so that checking one costs no round trip, and a
//! change made elsewhere is known soon. While the store is away the copy stays: events that are kept elsewhere
//! meanwhile come from holders of keys.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::key::{KeyId, NamedKey, PlainKey, Status};
use crate::store::{Store, StoreError};

/// How often the copy is read anew.
const READ_EVERY: Duration = Duration::from_secs(3);

/// How far the stored time of a key's last use may be behind, in seconds.
const USE_STEP: i64 = 60;

/// Keys that may be looked up in the store at the same time: strangers with made-up ids must not take its connections.
const LOOK_UPS: usize = 2;

/// The named keys.
#[derive(Debug, Clone)]
pub struct KeyRing(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: Clock,
    /// `None` until the store was read for the first time.
    copy: RwLock<Option<Arc<Copied>>>,
    /// Stands in for a key that does not exist, so that refusing it is the same work.
    nobody: Arc<Held>,
    look_ups: Semaphore,
}

type Copied = HashMap<KeyId, Arc<Held>>;

/// A key in the copy.
#[derive(Debug)]
pub struct Held {
    /// The key.
    pub key: NamedKey,
    /// When this replica last saw it used, in seconds since 1970; 0 for never.
    used: AtomicI64,
}

/// What is wrong with a key that has the form of a named one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected {
    /// There is no such id: in the copy, or in the store when that was asked.
    Unknown,
    /// The secret is wrong, or the key was revoked.
    Invalid,
    /// The secret is right, but the time is over.
    Expired,
    /// The store could not be asked.
    Unavailable,
}

impl KeyRing {
    /// The keys in `store`, none of which is known yet.
    #[must_use]
    pub fn new(store: Store, clock: Clock) -> Self {
        let nobody = Held::renewed(None, NamedKey::nobodys());
        let (copy, look_ups) = (RwLock::default(), Semaphore::new(LOOK_UPS));
        Self(Arc::new(Inner { store, clock, copy, nobody, look_ups }))
    }

    /// Checks a key against the copy. The work is the same for an id that does not exist.
    pub fn check(&self, presented: &PlainKey) -> Result<Arc<Held>, Rejected> {
        let copy = self.copy();
        let found = copy.as_ref().and_then(|copied| copied.get(&presented.id));
        let checked = found.unwrap_or(&self.0.nobody).clone().admit(presented, self.0.clock.now());
        if found.is_some() { checked } else { Err(Rejected::Unknown) }
    }

    /// Looks up in the store a key that the copy does not have: it may have been made a moment ago.
    pub async fn look_up(&self, presented: &PlainKey) -> Result<Arc<Held>, Rejected> {
        let Ok(_permit) = self.0.look_ups.try_acquire() else { return Err(Rejected::Unavailable) };
        let found = self.0.store.key(presented.id).await;
        let key = found.map_err(|error| {
            tracing::error!("an API key cannot be looked up: {error}");
            Rejected::Unavailable
        })?;
        let key = key.ok_or(Rejected::Unknown)?;
        self.replace(key).admit(presented, self.0.clock.now())
    }

    /// Reads all keys from the store.
    pub async fn read(&self) -> Result<(), StoreError> {
        let keys = self.0.store.keys().await?;
        let known = self.copy();
        let known = |id: &KeyId| known.as_ref().and_then(|copied| copied.get(id));
        let fresh = keys.into_iter().map(|key| (key.id, Held::renewed(known(&key.id), key))).collect();
        self.set(fresh);
        Ok(())
    }

    /// Reads all keys again and again, and notes when they were used, until the service stops.
    pub async fn run(self, stopping: CancellationToken) {
        loop {
            let read = self.read().await;
            let noted = self.note_uses().await;
            if let Err(error) = read.and(noted) {
                tracing::debug!("API keys cannot be read: {error}");
            }
            if stopping.run_until_cancelled(tokio::time::sleep(READ_EVERY)).await.is_none() {
                break;
            }
        }
        drop(self.note_uses().await);
    }

    /// Puts a changed key into the copy at once.
    pub(super) fn replace(&self, key: NamedKey) -> Arc<Held> {
        let copy = self.copy();
        let held = Held::renewed(copy.as_ref().and_then(|copied| copied.get(&key.id)), key);
        let mut changed = copy.as_deref().cloned().unwrap_or_default();
        changed.insert(held.key.id, held.clone());
        self.set(changed);
        held
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

    async fn note_uses(&self) -> Result<(), StoreError> {
        let Some(copy) = self.copy() else { return Ok(()) };
        for held in copy.values() {
            if let Some(used) = held.use_to_note() {
                self.0.store.note_key_use(held.key.id, used).await?;
            }
        }
        Ok(())
    }

    fn copy(&self) -> Option<Arc<Copied>> {
        self.0.copy.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, keys: Copied) {
        *self.0.copy.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(keys));
    }
}

impl Held {
    /// `key` as it is held from now on, with what was noted of its use so far.
    fn renewed(known: Option<&Arc<Self>>, key: NamedKey) -> Arc<Self> {
        let used = known.map_or(0, |held| held.used.load(Ordering::Relaxed));
        Arc::new(Self { key, used: used.into() })
    }

    fn admit(self: Arc<Self>, presented: &PlainKey, now: DateTime<Utc>) -> Result<Arc<Self>, Rejected> {
        let opens = self.key.opens(&presented.hash(), now);
        match self.key.status(now) {
            Status::Revoked => Err(Rejected::Invalid),
            _ if !opens => Err(Rejected::Invalid),
            Status::Expired => Err(Rejected::Expired),
            Status::Active => {
                self.used.store(now.timestamp(), Ordering::Relaxed);
                Ok(self)
            }
        }
    }

    /// When it was used, if the store does not know it well enough.
    fn use_to_note(&self) -> Option<DateTime<Utc>> {
        let used = self.used.load(Ordering::Relaxed);
        let noted = self.key.last_used_at.map_or(0, |at| at.timestamp());
        DateTime::from_timestamp(used, 0).filter(|_| used >= noted + USE_STEP)
    }
}
