//! The read replica of `DATABASE_READ_URL`. Analytics is read there while it can be reached and is not far behind, else from the primary.
//! What must be exact is read from the primary: keys, sessions, consents, what is asked about persons, and totals.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Db, PING_LIMIT, Store, StoreError};

/// How far behind a replica may be and still be read.
pub const MAX_LAG: Duration = Duration::from_secs(10);

/// A replica.
#[derive(Debug, Clone)]
pub(super) struct Replica {
    pub(super) db: Db,
    /// Whether it is to be read, as was last found out.
    is_usable: Arc<AtomicBool>,
}

/// What was found out about a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicaState {
    /// How far it is behind the primary: the age of what it applied last; nothing if it has applied all that the primary had.
    pub lag: Duration,
    /// Whether it follows a primary. If not, nobody can tell how far it is behind.
    pub follows: bool,
}

/// Where analytics reads: the replica if it is usable, and the primary if that fails.
pub(super) struct Source<'s> {
    store: &'s Store,
    replica: Option<&'s Replica>,
}

impl ReplicaState {
    /// Returns whether the replica is near enough to be read.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.lag <= MAX_LAG
    }
}

impl Replica {
    /// A replica that is not read before it was found usable.
    pub(super) fn new(db: Db) -> Self {
        Self { db, is_usable: Arc::default() }
    }
}

impl Source<'_> {
    pub(super) fn db(&self) -> &Db {
        self.replica.map_or(&self.store.read, |replica| &replica.db)
    }

    /// Returns the result; `None` if the replica failed, and the primary is to be read instead.
    pub(super) fn settle<T>(&mut self, read: Result<T, StoreError>) -> Option<Result<T, StoreError>> {
        match (self.replica.take(), read) {
            (Some(replica), Err(_)) => {
                replica.is_usable.store(false, Ordering::Relaxed);
                None
            }
            (_, read) => Some(read),
        }
    }
}

impl Store {
    /// Returns where analytics reads now.
    pub(super) fn source(&self) -> Source<'_> {
        let replica = self.replica.as_ref().filter(|replica| replica.is_usable.load(Ordering::Relaxed));
        Source { store: self, replica }
    }

    /// Returns whether there is a replica.
    #[must_use]
    pub const fn has_replica(&self) -> bool {
        self.replica.is_some()
    }

    /// Returns whether analytics is read from a replica.
    #[must_use]
    pub fn reads_replica(&self) -> bool {
        self.source().replica.is_some()
    }

    /// Asks the replica how far it is behind, and has it read or not from here on; `None` if there is none.
    ///
    /// # Errors
    ///
    /// Fails if it or the primary cannot be reached.
    pub async fn check_replica(&self) -> Option<Result<ReplicaState, StoreError>> {
        let replica = self.replica.as_ref()?;
        let state = self.replica_state(replica).await;
        replica.is_usable.store(state.as_ref().is_ok_and(ReplicaState::is_usable), Ordering::Relaxed);
        Some(state)
    }

    async fn replica_state(&self, replica: &Replica) -> Result<ReplicaState, StoreError> {
        // The position of the primary is read first: a replica that has come so far has all that was there then, however old it is.
        const PRIMARY: &str = "select cast(pg_current_wal_lsn() as text)";
        const STATE: &str = "select pg_is_in_recovery(), case when not pg_is_in_recovery() or pg_last_wal_replay_lsn() >= cast($1 as pg_lsn) then 0
            else cast(coalesce(extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()), 1e9) * 1000 as bigint) end
            from (select max(version) from _sqlx_migrations) there";
        let (Db::Postgres(primary), Db::Postgres(db)) = (&self.read, &replica.db) else {
            return Err(StoreError::Unusable("only Postgres has replicas".to_owned()));
        };
        let at: String =
            on!(@run primary, PING_LIMIT, conn, sqlx::query_scalar(PRIMARY).fetch_one(conn).await)?;
        let (follows, millis): (bool, i64) =
            on!(@run db, PING_LIMIT, conn, sqlx::query_as(STATE).bind(at).fetch_one(conn).await)?;
        Ok(ReplicaState { lag: Duration::from_millis(millis.max(0).unsigned_abs()), follows })
    }
}
