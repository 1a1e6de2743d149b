//! Connections of either database, from which rows are fetched alike. Futures are boxed: the compiler does not see through those of
//! generic functions that they are `Send`.

use chrono::NaiveDate;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, FromRow, PgConnection, Postgres, Row, SqlSafeStr, Sqlite, SqliteConnection, Type};

use crate::conversation::{CostSums, DailySums, SumRow};
use crate::store::dialect::{self, Dialect};

/// What can be read from a row of either database.
pub(super) trait AnyRow:
    for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin + 'static
{
}

impl<T> AnyRow for T where
    T: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin + 'static
{
}

/// A connection that reads the sums of a business.
pub(super) trait Fetch: Send {
    /// See [`Dialect::WEEKDAY`].
    const WEEKDAY: &'static str;
    /// See [`Dialect::PENDING_BUSINESSES`].
    const PENDING_BUSINESSES: &'static str;

    /// Returns the rows of a statement whose parameters are a business, or another text, and days.
    fn fetch<'c, R: AnyRow>(
        &'c mut self,
        sql: impl SqlSafeStr,
        text: &'c str,
        days: &'c [NaiveDate],
    ) -> BoxFuture<'c, Result<Vec<R>, sqlx::Error>>;

    /// Returns the rows of a statement whose parameters are a business, the values of a condition of [`crate::store::privacy::Rows::any_text`], and days.
    fn fetch_some<'c, R: AnyRow>(
        &'c mut self,
        sql: impl SqlSafeStr,
        texts: [&'c str; 2],
        days: &'c [NaiveDate],
    ) -> BoxFuture<'c, Result<Vec<R>, sqlx::Error>>;

    /// Extends the time limit of the statements that follow.
    fn extend_timeout(&mut self) -> BoxFuture<'_, Result<(), sqlx::Error>>;
}

/// A row whose first column is a key.
pub(super) struct Keyed<K, V>(pub(super) K, pub(super) V);

macro_rules! fetch {
    ($($database:ty, $connection:ty, $row:ty;)+) => {
        $(impl Fetch for $connection {
            const WEEKDAY: &'static str = <$database as Dialect>::WEEKDAY;
            const PENDING_BUSINESSES: &'static str = <$database as Dialect>::PENDING_BUSINESSES;

            fn fetch<'c, R: AnyRow>(
                &'c mut self,
                sql: impl SqlSafeStr,
                text: &'c str,
                days: &'c [NaiveDate],
            ) -> BoxFuture<'c, Result<Vec<R>, sqlx::Error>> {
                let query = sqlx::query_as(sql.into_sql_str()).bind(text);
                days.iter().fold(query, |query, day| query.bind(*day)).fetch_all(self).boxed()
            }

            fn fetch_some<'c, R: AnyRow>(
                &'c mut self,
                sql: impl SqlSafeStr,
                texts: [&'c str; 2],
                days: &'c [NaiveDate],
            ) -> BoxFuture<'c, Result<Vec<R>, sqlx::Error>> {
                let query = sqlx::query_as(sql.into_sql_str()).bind(texts[0]).bind(texts[1]);
                days.iter().fold(query, |query, day| query.bind(*day)).fetch_all(self).boxed()
            }

            fn extend_timeout(&mut self) -> BoxFuture<'_, Result<(), sqlx::Error>> {
                dialect::extend_timeout(self).boxed()
            }
        }

        impl<'r, K, V> FromRow<'r, $row> for Keyed<K, V>
        where
            K: Decode<'r, $database> + Type<$database>,
            V: FromRow<'r, $row>,
        {
            fn from_row(row: &'r $row) -> Result<Self, sqlx::Error> {
                Ok(Self(row.try_get(0)?, V::from_row(row)?))
            }
        }

        impl FromRow<'_, $row> for DailySums {
            fn from_row(row: &$row) -> Result<Self, sqlx::Error> {
                Self::read(|column| row.try_get(column))
            }
        }

        impl FromRow<'_, $row> for CostSums {
            fn from_row(row: &$row) -> Result<Self, sqlx::Error> {
                Self::read(|column| row.try_get(column))
            }
        })+
    };
}

fetch! {
    Postgres, PgConnection, PgRow;
    Sqlite, SqliteConnection, SqliteRow;
}
