//! Writes many rows of one table with one statement, whose text does not depend on their number: arrays on Postgres, a JSON
//! array on SQLite.

use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection, SqliteConnection};

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Type {
    Text,
    Date,
    Time,
    Integer,
    Bool,
}

/// What happens to a row that exists already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Existing {
    /// Its other columns are replaced.
    Replace,
    /// The other columns are added to it. Columns that may be of billionths stop at a bound, so that absurd costs of one business cannot make the
    /// statement fail for all.
    Add,
}

/// An insert of rows into a table.
#[derive(Debug)]
pub(in crate::store) struct Upsert {
    table: &'static str,
    columns: Vec<(&'static str, Type)>,
    /// The number of columns, from the first, that make up the primary key.
    keys: usize,
    existing: Existing,
}

/// A row, in the order of the columns of its [`Upsert`].
pub(in crate::store) type Row = Vec<Value>;

/// The largest sum of billionths: half of what the type can hold, so that it can be added to once more.
const MAX_NANOS: &str = "4000000000000000000";

impl Upsert {
    pub(in crate::store) const fn new(
        table: &'static str,
        columns: Vec<(&'static str, Type)>,
        keys: usize,
        existing: Existing,
    ) -> Self {
        Self { table, columns, keys, existing }
    }

    /// Returns the statement that inserts `rows`, a select of the columns.
    fn sql(&self, rows: &str, least: &str) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        let (keys, others) = names.split_at(self.keys);
        let table = self.table;
        let set = others.iter().map(|name| match self.existing {
            Existing::Replace => format!("{name} = excluded.{name}"),
            Existing::Add if name.ends_with("_nanos") || *name == "amount" => {
                format!(
                    "{name} = {least}({table}.{name}, {MAX_NANOS}) + {least}(excluded.{name}, {MAX_NANOS})"
                )
            }
            Existing::Add => format!("{name} = {table}.{name} + excluded.{name}"),
        });
        let set = set.collect::<Vec<_>>().join(", ");
        let (names, keys) = (names.join(", "), keys.join(", "));
        format!("insert into {table} ({names}) {rows} on conflict ({keys}) do update set {set}")
    }
}

/// A connection that can write rows.
pub(in crate::store) trait PutRows {
    /// Writes rows with distinct keys.
    async fn put(&mut self, upsert: &Upsert, rows: &[Row]) -> Result<(), sqlx::Error>;
}

impl PutRows for PgConnection {
    async fn put(&mut self, upsert: &Upsert, rows: &[Row]) -> Result<(), sqlx::Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let arrays: Vec<String> =
            upsert.columns.iter().enumerate().map(|(index, (_, of_type))| array(index, *of_type)).collect();
        let sql = upsert.sql(&format!("select * from unnest({})", arrays.join(", ")), "least");
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for (index, (_, of_type)) in upsert.columns.iter().enumerate() {
            let values = rows.iter().map(|row| &row[index]);
            query = match of_type {
                Type::Text | Type::Date | Type::Time => {
                    query.bind(values.map(Value::as_str).collect::<Vec<_>>())
                }
                Type::Integer => query.bind(values.map(Value::as_i64).collect::<Vec<_>>()),
                Type::Bool => query.bind(values.map(Value::as_bool).collect::<Vec<_>>()),
            };
        }
        query.execute(self).await.map(drop)
    }
}

/// Returns the array parameter of a column.
fn array(index: usize, of_type: Type) -> String {
    let place = index + 1;
    match of_type {
        Type::Text => format!("${place}::text[]"),
        Type::Date => format!("${place}::text[]::date[]"),
        Type::Time => format!("${place}::text[]::timestamptz[]"),
        Type::Integer => format!("${place}::bigint[]"),
        Type::Bool => format!("${place}::bool[]"),
    }
}

impl PutRows for SqliteConnection {
    async fn put(&mut self, upsert: &Upsert, rows: &[Row]) -> Result<(), sqlx::Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let values: Vec<String> =
            (0..upsert.columns.len()).map(|index| format!("value ->> {index}")).collect();
        // Without the condition, `on` would be taken for that of a join.
        let sql = upsert.sql(&format!("select {} from json_each($1) where true", values.join(", ")), "min");
        let rows = serde_json::to_string(rows).expect("values of JSON become JSON");
        sqlx::query(AssertSqlSafe(sql)).bind(rows).execute(self).await.map(drop)
    }
}
