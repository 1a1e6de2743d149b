//! Statements about tables whose columns are found out at run time. What goes in is text, lists as JSON, and what comes
//! out is text: so one statement serves both databases, whatever the types of the receptionist app's columns are.

use chrono::{NaiveDate, NaiveDateTime};
use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Row, Sqlite, SqliteConnection};

use super::schema::Column;
use crate::store::events::foreign::{ForeignRow, count_sql};
use crate::store::rollups::AddRollup;

/// The columns of a row.
pub(in crate::store) type Fields = Vec<Option<String>>;

/// What is done with each row; no more are read once it says no.
type Each<'e> = &'e mut (dyn FnMut(Fields) -> bool + Send);

/// A connection that runs such statements.
pub(in crate::store) trait Rows: AddRollup {
    /// Has statements of a transaction that erases give up when somebody else holds a lock.
    const IMPATIENT: &'static str;
    /// Ends a query that locks what it finds. SQLite has one writer at a time.
    const LOCK: &'static str;
    /// The same, leaving out what others have locked.
    const LOCK_FREE: &'static str;
    /// The columns of the tables in the JSON list `$1`, each with its table's name in front, as [`Column`] has them and in
    /// their order; nothing of a table that is not there.
    const COLUMNS: &'static str;
    /// Whether a text may hold the e-mail address `$1`: it does where letters and spaces are plain, else it is read.
    const MAY_BE_EMAIL: &'static str;
    /// Whether a text may hold the phone number `$1`: `text` stands for it.
    const MAY_BE_PHONE: &'static str;

    /// A condition: to be one of the texts in the JSON list `$n`.
    fn any_text(n: usize) -> String;
    /// A condition: to be one of the whole numbers in the JSON list `$n`.
    fn any_number(n: usize) -> String;
    /// A condition: to be one of the byte strings in the JSON list `$n`, which has them in hexadecimal.
    fn any_bytes(n: usize) -> String;
    /// The byte string that `$n` has in hexadecimal.
    fn bytes(n: usize) -> String;
    /// The time that `$n` has in RFC 3339.
    fn time(n: usize) -> String;
    /// The same, of an empty text none.
    fn optional_time(n: usize) -> String {
        Self::time(n).replace(&format!("${n}"), &format!("nullif(${n}, '')"))
    }
    /// A row of the table `t` as a JSON object.
    fn json(columns: &[Column]) -> String;

    /// Runs a query.
    async fn read(&mut self, sql: String, binds: &[String], each: Each<'_>) -> Result<(), sqlx::Error>;

    /// Marks the uncounted ones among events of the ids in the JSON list `events` as counted, and gives them.
    async fn count_uncounted(&mut self, events: &str) -> Result<Vec<ForeignRow>, sqlx::Error>;

    /// Runs a statement; gives the number of rows it changed.
    async fn run(&mut self, sql: String, binds: &[String]) -> Result<u64, sqlx::Error>;

    /// Runs a query; gives its first column.
    async fn texts(&mut self, sql: String, binds: &[String]) -> Result<Vec<String>, sqlx::Error> {
        let mut texts = Vec::new();
        let mut keep = |mut fields: Fields| {
            texts.extend(fields.first_mut().and_then(Option::take));
            true
        };
        self.read(sql, binds, &mut keep).await?;
        Ok(texts)
    }

    /// Runs a query that counts.
    async fn number(&mut self, sql: String, binds: &[String]) -> Result<u64, sqlx::Error> {
        Ok(self.texts(sql, binds).await?.first().and_then(|text| text.parse().ok()).unwrap_or(0))
    }
}

/// Runs statements on a connection.
macro_rules! run_statements {
    ($database:ty) => {
        async fn count_uncounted(&mut self, events: &str) -> Result<Vec<ForeignRow>, sqlx::Error> {
            let sql = count_sql::<$database>(&format!("id {}", Self::any_number(2)));
            // None of them is to be claimed any more.
            let claimable_from = NaiveDate::from_ymd_opt(9999, 12, 31).map(NaiveDateTime::from);
            sqlx::query_as(AssertSqlSafe(sql)).bind(claimable_from).bind(events).fetch_all(self).await
        }

        async fn read(&mut self, sql: String, binds: &[String], each: Each<'_>) -> Result<(), sqlx::Error> {
            let query = sqlx::query(AssertSqlSafe(sql));
            let query = binds.iter().fold(query, |query, bind| query.bind(bind));
            let mut rows = query.fetch(self);
            while let Some(row) = rows.try_next().await? {
                let fields = (0..row.len()).map(|i| row.try_get(i)).collect::<Result<Fields, _>>()?;
                if !each(fields) {
                    break;
                }
            }
            Ok(())
        }

        async fn run(&mut self, sql: String, binds: &[String]) -> Result<u64, sqlx::Error> {
            let query = sqlx::query(AssertSqlSafe(sql));
            let query = binds.iter().fold(query, |query, bind| query.bind(bind));
            Ok(query.execute(self).await?.rows_affected())
        }
    };
}

impl Rows for PgConnection {
    const IMPATIENT: &'static str =
        "select set_config('statement_timeout', '4s', true), set_config('lock_timeout', '800ms', true)";
    const LOCK: &'static str = " for update";
    const LOCK_FREE: &'static str = " for update skip locked";
    const COLUMNS: &'static str = "select name, cast(attname as text),
            case when typtype = 'e' then 'enum' else format_type(atttypid, atttypmod) end,
            case when attnotnull then 'y' else 'n' end, case when attgenerated <> '' then 'y' else 'n' end
        from jsonb_array_elements_text(cast($1 as jsonb)) name
        join pg_attribute on attrelid = to_regclass(name) join pg_type t on t.oid = atttypid
        where attnum > 0 and not attisdropped order by name, attnum";
    const MAY_BE_EMAIL: &'static str =
        "lower(btrim(text, E' \\t\\n\\r\\f\\v') collate \"C\") = $1 or octet_length(text) > length(text)";
    // Its last digits, in the form that needs no pattern to be matched: what is no digit is taken away.
    const MAY_BE_PHONE: &'static str =
        "right(translate(text, translate(text, '0123456789', ''), ''), 7) = right($1, 7)";

    fn any_text(n: usize) -> String {
        format!("= any(array(select jsonb_array_elements_text(cast(${n} as jsonb))))")
    }

    fn any_number(n: usize) -> String {
        format!("= any(array(select cast(jsonb_array_elements_text(cast(${n} as jsonb)) as bigint)))")
    }

    fn any_bytes(n: usize) -> String {
        format!("= any(array(select decode(jsonb_array_elements_text(cast(${n} as jsonb)), 'hex')))")
    }

    fn bytes(n: usize) -> String {
        format!("decode(${n}, 'hex')")
    }

    fn time(n: usize) -> String {
        format!("cast(${n} as timestamptz)")
    }

    fn json(_: &[Column]) -> String {
        "cast(to_json(t) as text)".to_owned()
    }

    run_statements!(Postgres);
}

impl Rows for SqliteConnection {
    const IMPATIENT: &'static str = "select ''";
    const LOCK: &'static str = "";
    const LOCK_FREE: &'static str = "";
    const COLUMNS: &'static str =
        "select value, name, c.type, case when \"notnull\" or pk then 'y' else 'n' end,
            case when hidden in (2, 3) then 'y' else 'n' end
        from json_each($1) join pragma_table_xinfo(value) c where hidden <> 1 order by value, cid";
    const MAY_BE_EMAIL: &'static str = "lower(trim(text, ' ' || char(9, 10, 11, 12, 13))) = $1
        or length(cast(text as blob)) > length(text)";
    // It cannot take digits out of a text. Such tables are small there, if there are any.
    const MAY_BE_PHONE: &'static str = "$1 is not null";

    fn any_text(n: usize) -> String {
        format!("in (select value from json_each(${n}))")
    }

    fn any_number(n: usize) -> String {
        Self::any_text(n)
    }

    fn any_bytes(n: usize) -> String {
        format!("in (select unhex(value) from json_each(${n}))")
    }

    fn bytes(n: usize) -> String {
        format!("unhex(${n})")
    }

    fn time(n: usize) -> String {
        format!("${n}")
    }

    fn json(columns: &[Column]) -> String {
        let pair = |column: &Column| {
            let (name, quoted) = (column.name.replace('\'', "''"), column.quoted());
            format!(
                "'{name}', case typeof(t.{quoted}) when 'blob' then lower(hex(t.{quoted})) else t.{quoted} end"
            )
        };
        format!("json_object({})", columns.iter().map(pair).collect::<Vec<_>>().join(", "))
    }

    run_statements!(Sqlite);
}
