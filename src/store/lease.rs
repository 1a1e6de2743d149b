//! Connections, on loan.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::pool::PoolConnection;
use sqlx::{Database, Pool};

use super::StoreError;
use super::turns::{Turn, Turns};

/// Where connections come from and where they go between two uses.
#[derive(Debug)]
pub(crate) struct Connections<DB: Database> {
    pool: Pool<DB>,
    /// The writers' place for their connections. A pool takes a round trip to look after each that it gets back.
    kept: Option<Kept<DB>>,
    /// Where there is one writer at a time: its turns.
    turns: Option<Turns>,
}

type Kept<DB> = Arc<Mutex<Vec<PoolConnection<DB>>>>;

impl<DB: Database> Clone for Connections<DB> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), kept: self.kept.clone(), turns: self.turns.clone() }
    }
}

impl<DB: Database> Connections<DB> {
    /// Connections for readers, which share them.
    pub(super) const fn shared(pool: Pool<DB>) -> Self {
        Self { pool, kept: None, turns: None }
    }

    /// The connections of writers.
    pub(super) fn kept(pool: Pool<DB>) -> Self {
        Self { pool, kept: Some(Kept::default()), turns: None }
    }

    /// The same, on loan to one borrower at a time, of all that take these turns.
    pub(super) fn in_turns(self, turns: &Turns) -> Self {
        Self { turns: Some(turns.clone()), ..self }
    }

    /// A connection, opened if there is none.
    pub(crate) async fn lease(&self) -> Result<Lease<'_, DB>, StoreError> {
        let kept = self.kept.as_ref().and_then(|kept| lock(kept).pop());
        let connection = match kept {
            Some(connection) => connection,
            None => self.pool.acquire().await?,
        };
        let turn = match &self.turns {
            Some(turns) => Some(turns.take().await),
            None => None,
        };
        Ok(Lease { connection: Some(connection), home: self, _turn: turn })
    }

    /// The turns of the borrowers, where they take turns.
    pub(super) const fn turns(&self) -> Option<&Turns> {
        self.turns.as_ref()
    }

    /// Closes those that are at rest: where one broke, the others most likely did.
    fn close_kept(&self) {
        let kept = self.kept.as_ref().map(|kept| mem::take(&mut *lock(kept)));
        for connection in kept.into_iter().flatten() {
            drop(connection.detach());
        }
    }

    /// Closes them all.
    pub(super) async fn close(&self) {
        drop(self.kept.as_ref().map(|kept| mem::take(&mut *lock(kept))));
        self.pool.close().await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection on loan. It goes home only when its work came to an end that the database itself told. Otherwise (the
/// work was abandoned at its time limit, or the connection broke) it is closed: nobody knows its state.
pub(crate) struct Lease<'c, DB: Database> {
    connection: Option<PoolConnection<DB>>,
    home: &'c Connections<DB>,
    /// The last field: the turn ends when the connection is at rest.
    _turn: Option<Turn>,
}

impl<DB: Database> Lease<'_, DB> {
    pub(crate) fn connection(&mut self) -> &mut DB::Connection {
        self.connection.as_mut().expect("a lease holds its connection until it is finished")
    }

    /// Gives the connection away for good; the pool opens another in its place.
    pub(crate) fn take(mut self) -> DB::Connection {
        self.connection.take().expect("a lease holds its connection until it is finished").detach()
    }

    pub(crate) fn finish<T>(mut self, done: Result<T, sqlx::Error>) -> Result<T, StoreError> {
        let done = done.map_err(StoreError::from);
        if done.as_ref().err().is_none_or(StoreError::leaves_connection_sound) {
            match &self.home.kept {
                Some(kept) => lock(kept).extend(self.connection.take()),
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
            self.home.close_kept();
        }
    }
}
