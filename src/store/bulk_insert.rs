//! Multi-row inserts on SQLite.
//!
//! Executing a statement takes a round trip to the thread of its connection, which costs more than inserting a row, so
//! each statement inserts several rows. There is one statement per number of rows; all of them stay prepared.

use std::sync::OnceLock;

use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Sqlite, SqliteConnection};

/// The maximum number of rows per statement. SQLite allows 32,766 parameters.
const MOST_ROWS: usize = 64;

/// The capacity of a connection's statement cache: all statements of four inserts, and 64 others.
pub(super) const STATEMENTS: usize = 4 * MOST_ROWS + 64;

/// A statement under construction.
pub(super) type SqliteQuery<'q> = Query<'q, Sqlite, SqliteArguments>;

/// An insert into one table, for any number of rows.
pub(super) struct BulkInsert {
    head: String,
    row: String,
    tail: String,
    texts: [OnceLock<String>; MOST_ROWS],
}

impl BulkInsert {
    /// Creates an insert into `table`. Each column comes with the SQL expression of its value, in which `?` is the
    /// parameter. `tail` is appended to the statement.
    pub(super) fn new<'c>(
        table: &str,
        columns: impl IntoIterator<Item = (&'c str, &'c str)>,
        tail: &str,
    ) -> Self {
        let (names, values): (Vec<&str>, Vec<&str>) = columns.into_iter().unzip();
        Self {
            head: format!("insert into {table} ({})", names.join(", ")),
            row: format!("({})", values.join(", ")),
            tail: tail.to_owned(),
            texts: [const { OnceLock::new() }; MOST_ROWS],
        }
    }

    /// Inserts `items`; `bind` binds the parameters of one. Returns the number of rows inserted or changed.
    pub(super) async fn run<T>(
        &'static self,
        conn: &mut SqliteConnection,
        mut items: &[T],
        bind: impl for<'q> Fn(SqliteQuery<'q>, &'q T) -> SqliteQuery<'q>,
    ) -> Result<u64, sqlx::Error> {
        let mut affected = 0;
        while !items.is_empty() {
            let (first, rest) = items.split_at(items.len().min(MOST_ROWS));
            let query = first.iter().fold(sqlx::query(self.text(first.len())), &bind);
            affected += query.execute(&mut *conn).await?.rows_affected();
            items = rest;
        }
        Ok(affected)
    }

    /// Returns the statement for `rows` rows.
    fn text(&'static self, rows: usize) -> &'static str {
        let text =
            || format!("{} values {}{}", self.head, vec![self.row.as_str(); rows].join(", "), self.tail);
        self.texts[rows - 1].get_or_init(text)
    }
}
