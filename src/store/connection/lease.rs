//! Leases of connections.

use std::mem;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard, RwLock};
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Database, Pool, Transaction};

use super::file::WatchedFile;
use super::sessions::Sessions;
use super::write_queue::{WritePermit, WriteQueue};
use crate::store::StoreError;

/// A source of connections, which also stores them between two leases.
#[derive(Debug)]
pub(crate) struct Connections<DB: Database> {
    pool: Arc<RwLock<Pool<DB>>>,
    /// The idle connections of writers. The pool would need a round trip to reset each connection that is
    /// returned.
    idle: Option<Idle<DB>>,
    /// The queue of writers, if only one may write at a time.
    queue: Option<WriteQueue>,
    /// The file of an embedded database.
    file: Option<WatchedFile>,
    /// The sessions of a server.
    sessions: Option<Sessions>,
}

type Idle<DB> = Arc<Mutex<Vec<PoolConnection<DB>>>>;

impl<DB: Database> Clone for Connections<DB> {
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            idle: self.idle.clone(),
            queue: self.queue.clone(),
            file: self.file.clone(),
            sessions: self.sessions.clone(),
        }
    }
}

impl<DB: Database> Connections<DB> {
    /// Creates a source of connections that return to the pool.
    pub(in crate::store) fn shared(pool: Pool<DB>) -> Self {
        Self { pool: Arc::new(RwLock::new(pool)), idle: None, queue: None, file: None, sessions: None }
    }

    /// Creates a source of connections that stay with writers between leases.
    pub(in crate::store) fn owned(pool: Pool<DB>) -> Self {
        Self { idle: Some(Idle::default()), ..Self::shared(pool) }
    }

    /// Makes leases wait in `queue`, one writer at a time.
    pub(in crate::store) fn in_queue(self, queue: &WriteQueue) -> Self {
        Self { queue: Some(queue.clone()), ..self }
    }

    /// Refuses leases while `file` is not the one that connections are open on.
    pub(in crate::store) fn on_file(self, file: &WatchedFile) -> Self {
        Self { file: Some(file.clone()), ..self }
    }

    /// Prepares `sessions`, or each transaction if these belong to a pooler.
    pub(in crate::store) fn in_sessions(self, sessions: &Sessions) -> Self {
        Self { sessions: Some(sessions.clone()), ..self }
    }

    /// Leases a connection; opens one if none is idle.
    pub(crate) async fn lease(&self) -> Result<Lease<'_, DB>, StoreError> {
        self.check_file()?;
        let held = match self.transaction().await? {
            Some(transaction) => Held::Transaction(transaction),
            None => Held::Session(self.session().await?),
        };
        let permit = match &self.queue {
            Some(queue) => Some(queue.acquire().await),
            None => None,
        };
        Ok(Lease { held: Some(held), source: self, _permit: permit })
    }

    /// Begins a transaction if sessions belong to a pooler.
    async fn transaction(&self) -> Result<Option<Transaction<'static, DB>>, StoreError> {
        let Some(sessions) = &self.sessions else { return Ok(None) };
        sessions.find_out().await?;
        let Some(begin) = sessions.begin() else { return Ok(None) };
        let pool = self.pool.read().clone();
        Ok(Some(pool.begin_with(AssertSqlSafe(begin)).await?))
    }

    async fn session(&self) -> Result<PoolConnection<DB>, StoreError> {
        let idle = self.idle.as_ref().and_then(|idle| lock(idle).pop());
        if let Some(connection) = idle {
            return Ok(connection);
        }
        let pool = self.pool.read().clone();
        Ok(pool.acquire().await?)
    }

    /// Returns the queue that leases wait in, if any.
    pub(in crate::store) const fn queue(&self) -> Option<&WriteQueue> {
        self.queue.as_ref()
    }

    /// Closes the idle connections: if one broke, the others most likely did too.
    fn close_idle(&self) {
        let idle = self.idle.as_ref().map(|idle| mem::take(&mut *lock(idle)));
        for connection in idle.into_iter().flatten() {
            drop(connection.detach());
        }
    }

    fn check_file(&self) -> Result<(), StoreError> {
        self.file.as_ref().map_or(Ok(()), WatchedFile::check)
    }

    /// Opens new connections from here on; the others must be closed.
    pub(in crate::store) fn reopen(&self) {
        let mut pool = self.pool.write();
        *pool = pool.options().clone().connect_lazy_with(pool.connect_options().as_ref().clone());
    }

    /// Closes all connections.
    pub(in crate::store) async fn close(&self) {
        drop(self.idle.as_ref().map(|idle| mem::take(&mut *lock(idle))));
        let pool = self.pool.read().clone();
        pool.close().await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

/// What a lease leaves to its holder.
#[derive(Debug)]
pub(in crate::store) enum Taken<DB: Database> {
    /// A connection that is closed when dropped.
    Session(Box<DB::Connection>),
    /// A transaction that is rolled back when dropped.
    Transaction(Transaction<'static, DB>),
}

/// What a lease holds.
enum Held<DB: Database> {
    /// A connection with a session of its own.
    Session(PoolConnection<DB>),
    /// A transaction, in which a pooler keeps the session.
    Transaction(Transaction<'static, DB>),
}

/// A leased connection. It is reused only after work whose result the database confirmed. Otherwise (the work
/// was abandoned at its time limit, or the connection broke) its state is unknown and it is closed.
pub(crate) struct Lease<'c, DB: Database> {
    held: Option<Held<DB>>,
    source: &'c Connections<DB>,
    /// The last field, so that it is released after the connection is returned.
    _permit: Option<WritePermit>,
}

impl<DB: Database> Lease<'_, DB> {
    pub(crate) fn connection(&mut self) -> &mut DB::Connection {
        match self.held.as_mut().expect("a lease holds its connection until it is finished") {
            Held::Session(connection) => connection,
            Held::Transaction(transaction) => transaction,
        }
    }

    /// Whether the lease is a transaction, which its end commits.
    pub(in crate::store) const fn is_transaction(&self) -> bool {
        matches!(self.held, Some(Held::Transaction(_)))
    }

    /// Takes the connection from the pool, which opens another in its place, or the transaction.
    pub(in crate::store) fn take(mut self) -> Taken<DB> {
        match self.held.take().expect("a lease holds its connection until it is finished") {
            Held::Session(connection) => Taken::Session(Box::new(connection.detach())),
            Held::Transaction(transaction) => Taken::Transaction(transaction),
        }
    }

    pub(crate) async fn finish<T>(mut self, done: Result<T, sqlx::Error>) -> Result<T, StoreError> {
        let done = done.map_err(StoreError::from);
        let is_usable = done.as_ref().err().is_none_or(StoreError::leaves_connection_usable);
        match self.held.take_if(|_| is_usable) {
            Some(Held::Session(connection)) => match &self.source.idle {
                Some(idle) => lock(idle).push(connection),
                None => drop(connection),
            },
            Some(Held::Transaction(transaction)) if done.is_ok() => transaction.commit().await?,
            Some(Held::Transaction(transaction)) => transaction.rollback().await?,
            None => {}
        }
        // What was written to a file that is gone is not stored.
        done.and_then(|done| self.source.check_file().map(|()| done))
    }
}

impl<DB: Database> Drop for Lease<'_, DB> {
    fn drop(&mut self) {
        match self.held.take() {
            Some(Held::Session(broken)) => {
                drop(broken.detach());
                self.source.close_idle();
            }
            // It is rolled back before its connection is used again.
            Some(Held::Transaction(broken)) => drop(broken),
            None => {}
        }
    }
}
