//! A connection on loan from a pool.

use sqlx::pool::PoolConnection;
use sqlx::{Database, Pool};

use super::StoreError;

/// Goes back to its pool only when its work came to an end that the database itself told. Otherwise (the work was
/// abandoned at its time limit, or the connection broke) the connection is closed: nobody knows its state.
pub(crate) struct Lease<DB: Database>(Option<PoolConnection<DB>>);

impl<DB: Database> Lease<DB> {
    pub(crate) async fn take(pool: &Pool<DB>) -> Result<Self, StoreError> {
        Ok(Self(Some(pool.acquire().await?)))
    }

    pub(crate) fn connection(&mut self) -> &mut DB::Connection {
        self.0.as_mut().expect("a lease holds its connection until it is finished")
    }

    pub(crate) fn finish<T>(mut self, done: Result<T, sqlx::Error>) -> Result<T, StoreError> {
        if matches!(done, Ok(_) | Err(sqlx::Error::Database(_) | sqlx::Error::RowNotFound)) {
            drop(self.0.take());
        }
        Ok(done?)
    }
}

impl<DB: Database> Drop for Lease<DB> {
    fn drop(&mut self) {
        drop(self.0.take().map(PoolConnection::detach));
    }
}
