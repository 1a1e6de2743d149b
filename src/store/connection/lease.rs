//! Leases of connections.

use std::mem;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use sqlx::pool::PoolConnection;
use sqlx::{Database, Pool};

use super::write_queue::{WritePermit, WriteQueue};
use crate::store::StoreError;

/// A source of connections, which also stores them between two leases.
#[derive(Debug)]
pub(crate) struct Connections<DB: Database> {
    pool: Pool<DB>,
    /// The idle connections of writers. The pool would need a round trip to reset each connection that is
    /// returned.
    idle: Option<Idle<DB>>,
    /// The queue of writers, if only one may write at a time.
    queue: Option<WriteQueue>,
}

type Idle<DB> = Arc<Mutex<Vec<PoolConnection<DB>>>>;

impl<DB: Database> Clone for Connections<DB> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), idle: self.idle.clone(), queue: self.queue.clone() }
    }
}

impl<DB: Database> Connections<DB> {
    /// Creates a source of connections that return to the pool.
    pub(in crate::store) const fn shared(pool: Pool<DB>) -> Self {
        Self { pool, idle: None, queue: None }
    }

    /// Creates a source of connections that stay with writers between leases.
    pub(in crate::store) fn owned(pool: Pool<DB>) -> Self {
        Self { pool, idle: Some(Idle::default()), queue: None }
    }

    /// Makes leases wait in `queue`, one writer at a time.
    pub(in crate::store) fn in_queue(self, queue: &WriteQueue) -> Self {
        Self { queue: Some(queue.clone()), ..self }
    }

    /// Leases a connection; opens one if none is idle.
    pub(crate) async fn lease(&self) -> Result<Lease<'_, DB>, StoreError> {
        let idle = self.idle.as_ref().and_then(|idle| lock(idle).pop());
        let connection = match idle {
            Some(connection) => connection,
            None => self.pool.acquire().await?,
        };
        let permit = match &self.queue {
            Some(queue) => Some(queue.acquire().await),
            None => None,
        };
        Ok(Lease { connection: Some(connection), source: self, _permit: permit })
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

    /// Closes all connections.
    pub(in crate::store) async fn close(&self) {
        drop(self.idle.as_ref().map(|idle| mem::take(&mut *lock(idle))));
        self.pool.close().await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

/// A leased connection. It is reused only after work whose result the database confirmed. Otherwise (the work
/// was abandoned at its time limit, or the connection broke) its state is unknown and it is closed.
pub(crate) struct Lease<'c, DB: Database> {
    connection: Option<PoolConnection<DB>>,
    source: &'c Connections<DB>,
    /// The last field, so that it is released after the connection is returned.
    _permit: Option<WritePermit>,
}

impl<DB: Database> Lease<'_, DB> {
    pub(crate) fn connection(&mut self) -> &mut DB::Connection {
        self.connection.as_mut().expect("a lease holds its connection until it is finished")
    }

    /// Detaches the connection from the pool, which opens another in its place.
    pub(crate) fn take(mut self) -> DB::Connection {
        self.connection.take().expect("a lease holds its connection until it is finished").detach()
    }

    pub(crate) fn finish<T>(mut self, done: Result<T, sqlx::Error>) -> Result<T, StoreError> {
        let done = done.map_err(StoreError::from);
        if done.as_ref().err().is_none_or(StoreError::leaves_connection_usable) {
            match &self.source.idle {
                Some(idle) => lock(idle).extend(self.connection.take()),
                None => drop(self.connection.take()),
            }
        }
        done
    }
}

impl<DB: Database> Drop for Lease<'_, DB> {
    fn drop(&mut self) {
        if let Some(broken) = self.connection.take() {
            drop(broken.detach());
            self.source.close_idle();
        }
    }
}
