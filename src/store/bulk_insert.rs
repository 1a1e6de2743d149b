//! Inserts of many rows on SQLite.
//!
//! Each statement is sent to the thread of its connection and waited for, which takes longer than to insert a row. So a
//! statement takes several rows. There is one for each number of rows, and all of them stay prepared.

use std::sync::OnceLock;

use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Sqlite, SqliteConnection};

/// The most rows of one statement. SQLite allows 32,766 parameters.
const MOST_ROWS: usize = 64;

/// How many statements a connection keeps prepared: those of four inserts, and all others.
pub(super) const STATEMENTS: usize = 4 * MOST_ROWS + 64;

/// A statement under construction.
pub(super) type SqliteQuery<'q> = Query<'q, Sqlite, SqliteArguments>;

/// An insert of any number of rows.
pub(super) struct BulkInsert {
    head: &'static str,
    row: &'static str,
    tail: &'static str,
    texts: [OnceLock<String>; MOST_ROWS],
}

impl BulkInsert {
    /// `head values row, row, … tail`, where `row` has a `?` for each parameter.
    pub(super) const fn new(head: &'static str, row: &'static str, tail: &'static str) -> Self {
        Self { head, row, tail, texts: [const { OnceLock::new() }; MOST_ROWS] }
    }

    /// Inserts `items`, whose parameters `bind` binds; gives how many rows were inserted or changed.
    pub(super) async fn run<T>(
        &'static self,
        conn: &mut SqliteConnection,
        mut items: &[T],
        bind: impl for<'q> Fn(SqliteQuery<'q>, &'q T) -> SqliteQuery<'q>,
    ) -> Result<u64, sqlx::Error> {
        let mut affected = 0;
        while !items.is_empty() {
            let (now, later) = items.split_at(items.len().min(MOST_ROWS));
            let query = now.iter().fold(sqlx::query(self.text(now.len())), &bind);
            affected += query.execute(&mut *conn).await?.rows_affected();
            items = later;
        }
        Ok(affected)
    }

    /// The statement for so many rows.
    fn text(&'static self, rows: usize) -> &'static str {
        self.texts[rows - 1]
            .get_or_init(|| format!("{} values {}{}", self.head, vec![self.row; rows].join(", "), self.tail))
    }
}
