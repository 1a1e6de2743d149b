//! Leases of connections.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::pool::PoolConnection;
use sqlx::{Database, Pool};

use super::write_queue::{WriteQueue, WriteTurn};
use crate::store::StoreError;

/// Where connections come from, and where they go between two leases.
#[derive(Debug)]
pub(crate) struct Connections<DB: Database> {
    pool: Pool<DB>,
    /// The idle connections of writers. A pool would take a round trip to reset each that is returned.
    idle: Option<Idle<DB>>,
    /// The queue of the writers, where there is one writer at a time.
    queue: Option<WriteQueue>,
}

type Idle<DB> = Arc<Mutex<Vec<PoolConnection<DB>>>>;

impl<DB: Database> Clone for Connections<DB> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), idle: self.idle.clone(), queue: self.queue.clone() }
    }
}

impl<DB: Database> Connections<DB> {
    /// Creates the source of connections that readers share.
    pub(in crate::store) const fn shared(pool: Pool<DB>) -> Self {
        Self { pool, idle: None, queue: None }
    }

    /// Creates the source of connections that writers keep for themselves.
    pub(in crate::store) fn owned(pool: Pool<DB>) -> Self {
        Self { pool, idle: Some(Idle::default()), queue: None }
    }

    /// Returns the same, leased to one writer of `queue` at a time.
    pub(in crate::store) fn in_queue(self, queue: &WriteQueue) -> Self {
        Self { queue: Some(queue.clone()), ..self }
    }

    /// Leases a connection; opens one where none is idle.
    pub(crate) async fn lease(&self) -> Result<Lease<'_, DB>, StoreError> {
        let idle = self.idle.as_ref().and_then(|idle| lock(idle).pop());
        let connection = match idle {
            Some(connection) => connection,
            None => self.pool.acquire().await?,
        };
        let turn = match &self.queue {
            Some(queue) => Some(queue.take().await),
            None => None,
        };
        Ok(Lease { connection: Some(connection), source: self, _turn: turn })
    }

    /// Returns the queue that leases wait in, if there is one.
    pub(in crate::store) const fn queue(&self) -> Option<&WriteQueue> {
        self.queue.as_ref()
    }

    /// Closes the idle ones: where one broke, the others most likely did.
    fn close_idle(&self) {
        let idle = self.idle.as_ref().map(|idle| mem::take(&mut *lock(idle)));
        for connection in idle.into_iter().flatten() {
            drop(connection.detach());
        }
    }

    /// Closes them all.
    pub(in crate::store) async fn close(&self) {
        drop(self.idle.as_ref().map(|idle| mem::take(&mut *lock(idle))));
        self.pool.close().await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A leased connection. It is returned only after work whose end the database itself confirmed. Otherwise (the work was
/// abandoned at its time limit, or the connection broke) it is closed, as nobody knows its state.
pub(crate) struct Lease<'c, DB: Database> {
    connection: Option<PoolConnection<DB>>,
    source: &'c Connections<DB>,
    /// The last field, so that the turn ends after the connection is returned.
    _turn: Option<WriteTurn>,
}

impl<DB: Database> Lease<'_, DB> {
    pub(crate) fn connection(&mut self) -> &mut DB::Connection {
        self.connection.as_mut().expect("a lease holds its connection until it is finished")
    }

    /// Takes the connection out of the pool, which opens another in its place.
    pub(crate) fn take(mut self) -> DB::Connection {
        self.connection.take().expect("a lease holds its connection until it is finished").detach()
    }

    pub(crate) fn finish<T>(mut self, done: Result<T, sqlx::Error>) -> Result<T, StoreError> {
        let done = done.map_err(StoreError::from);
        if done.as_ref().err().is_none_or(StoreError::leaves_connection_sound) {
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
