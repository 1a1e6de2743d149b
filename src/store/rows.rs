//! Inserts of many rows on SQLite.
//!
//! Each statement is sent to the thread of its connection and waited for, which takes longer than to insert a row. So a
//! statement takes several rows; there is one for each power of two, so that all of them stay prepared.

use std::sync::OnceLock;

use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Sqlite, SqliteConnection};

/// How many statements there are; the last one takes 64 rows. SQLite allows 32,766 parameters.
const SIZES: usize = 7;

/// A statement under construction.
pub(super) type SqliteQuery<'q> = Query<'q, Sqlite, SqliteArguments>;

/// An insert of any number of rows.
pub(super) struct Insert {
    head: &'static str,
    row: &'static str,
    tail: &'static str,
    texts: [OnceLock<String>; SIZES],
}

impl Insert {
    /// `head values row, row, … tail`, where `row` has a `?` for each parameter.
    pub(super) const fn new(head: &'static str, row: &'static str, tail: &'static str) -> Self {
        Self { head, row, tail, texts: [const { OnceLock::new() }; SIZES] }
    }

    /// Inserts `items`, whose parameters `bind` binds; gives how many rows were inserted or changed.
    pub(super) async fn run<T>(
        &'static self,
        conn: &mut SqliteConnection,
        mut items: &[T],
        bind: impl for<'q> Fn(SqliteQuery<'q>, &'q T) -> SqliteQuery<'q>,
    ) -> Result<u64, sqlx::Error> {
        let mut affected = 0;
        while let Some(largest) = items.len().checked_ilog2() {
            let size = (largest as usize).min(SIZES - 1);
            let (now, later) = items.split_at(1 << size);
            let query = now.iter().fold(sqlx::query(self.text(size)), &bind);
            affected += query.execute(&mut *conn).await?.rows_affected();
            items = later;
        }
        Ok(affected)
    }

    /// The statement for two to the power of `size` rows.
    fn text(&'static self, size: usize) -> &'static str {
        self.texts[size].get_or_init(|| {
            format!("{} values {}{}", self.head, vec![self.row; 1 << size].join(", "), self.tail)
        })
    }
}
