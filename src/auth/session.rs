//! Sessions: browsers that are signed in with a key.
//!
//! A session is a row of the store, found by the hash of a cookie's value. It is remembered for a few seconds, so that a page
//! normally costs no round trip, and a session that ended elsewhere is noticed soon. While the store is unavailable, what is
//! remembered holds. Whether the key can still be used is decided by the authenticator, for each request.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use quick_cache::sync::Cache;
use tokio::sync::Semaphore;

use super::key::Secret;
use crate::clock::Clock;
use crate::config::Config;
use crate::store::{Session, SessionKey, Store, StoreError};

/// How many sessions are remembered, at about 150 bytes each.
const MAX_REMEMBERED: usize = 10_000;

/// How long a session is taken from memory.
const FRESH: TimeDelta = TimeDelta::seconds(3);

/// The maximum number of concurrent look-ups: made-up cookies must not use up the store's connections.
const MAX_LOOK_UPS: usize = 2;

/// Why a cookie does not stand for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoSession {
    /// There is no such session (any more), or its key cannot be used any more.
    Over,
    /// It cannot be found out at the moment.
    Unavailable,
}

/// The sessions of browsers.
#[derive(Debug)]
pub struct Sessions {
    store: Store,
    clock: Clock,
    lifetime: TimeDelta,
    remembered: Cache<[u8; 32], Remembered>,
    look_ups: Semaphore,
}

/// A session as the store had it at a time.
#[derive(Debug, Clone, Copy)]
struct Remembered {
    session: Session,
    at: DateTime<Utc>,
}

impl Sessions {
    /// Creates the sessions that are in `store`.
    #[must_use]
    pub fn new(config: &Config, store: Store, clock: Clock) -> Self {
        let lifetime = TimeDelta::hours(config.session_hours.get().into());
        let (remembered, look_ups) = (Cache::new(MAX_REMEMBERED), Semaphore::new(MAX_LOOK_UPS));
        Self { store, clock, lifetime, remembered, look_ups }
    }

    /// Returns how long a session lasts.
    #[must_use]
    pub const fn lifetime(&self) -> TimeDelta {
        self.lifetime
    }

    /// Begins a session of the holder of `key`, always with a new value for the cookie, which it returns.
    pub async fn begin(&self, key: SessionKey) -> Result<Secret, StoreError> {
        let (cookie, now) = (Secret::generate(), self.clock.now());
        let created_at = now.trunc_subsecs(0);
        let session = Session { key, created_at, expires_at: created_at + self.lifetime };
        self.store.add_session(&cookie.hash(), &session).await?;
        self.remembered.insert(cookie.hash().0, Remembered { session, at: now });
        Ok(cookie)
    }

    /// Ends a session: on this replica at once, on others within seconds. Returns whether there was one.
    pub async fn end(&self, cookie: &Secret) -> Result<bool, StoreError> {
        let hash = cookie.hash();
        let was_there = self.store.end_session(&hash).await?;
        self.remembered.remove(&hash.0);
        Ok(was_there)
    }

    /// Returns the session that a cookie stands for, as the store had it a few seconds ago at most, unless that is unavailable.
    pub async fn find(&self, cookie: &Secret) -> Result<Session, NoSession> {
        let (hash, now) = (cookie.hash(), self.clock.now());
        let known = self.remembered.get(&hash.0);
        let session = match known {
            Some(known) if now - known.at < FRESH => known.session,
            _ => match (self.look_up(cookie, now).await, known) {
                (Ok(session), _) => session,
                (Err(NoSession::Unavailable), Some(known)) => known.session,
                (Err(why), _) => return Err(why),
            },
        };
        if session.expires_at <= now { Err(NoSession::Over) } else { Ok(session) }
    }

    /// Returns a session from memory, however old that is.
    #[must_use]
    pub fn remembered(&self, cookie: &Secret) -> Option<Session> {
        self.remembered.get(&cookie.hash().0).map(|known| known.session)
    }

    async fn look_up(&self, cookie: &Secret, now: DateTime<Utc>) -> Result<Session, NoSession> {
        let Ok(_permit) = self.look_ups.try_acquire() else { return Err(NoSession::Unavailable) };
        let hash = cookie.hash();
        match self.store.session(&hash).await {
            Ok(Some(session)) => {
                self.remembered.insert(hash.0, Remembered { session, at: now });
                Ok(session)
            }
            Ok(None) => {
                self.remembered.remove(&hash.0);
                Err(NoSession::Over)
            }
            Err(StoreError::Unreadable(column)) => {
                tracing::error!("a session cannot be read ({column}); its browser must sign in again");
                Err(NoSession::Over)
            }
            Err(error) => {
                tracing::debug!("cannot look up a session: {error}");
                // So that not every page waits for a store that does not respond.
                if let Some(Remembered { session, .. }) = self.remembered.get(&hash.0) {
                    self.remembered.insert(hash.0, Remembered { session, at: now });
                }
                Err(NoSession::Unavailable)
            }
        }
    }
}
