//! Statements about tables whose columns are only known at run time. Parameters are texts, or lists as JSON,
//! and results are texts, so one statement serves both databases whatever the types of the receptionist app's
//! columns.

use chrono::{NaiveDate, NaiveDateTime};
use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Row, Sqlite, SqliteConnection};

use super::schema::Column;
use crate::store::dialect::Dialect;
use crate::store::events::foreign::{ForeignRow, count_sql};
use crate::store::rollups::AddRollup;

/// The values of a row.
pub(in crate::store) type Fields = Vec<Option<String>>;

/// Called for each row; returns whether to read more.
type Each<'e> = &'e mut (dyn FnMut(Fields) -> bool + Send);

/// A connection that runs dynamic statements.
pub(in crate::store) trait Rows: AddRollup {
    /// Sets short timeouts for the statements of an erasure, so that it fails when another transaction has a
    /// lock.
    const SHORT_TIMEOUTS: &'static str;
    /// A suffix that makes a query lock its rows. SQLite has one writer at a time.
    const LOCK: &'static str;
    /// The same, skipping rows that others have locked.
    const LOCK_FREE: &'static str;
    /// Waits until no other transaction records a consent, and keeps others from it until the end of this one.
    const LOCK_CONSENTS_SHARED: &'static str;
    /// Waits until no other transaction adds tombstones, and keeps others from it until the end of this one.
    const LOCK_TOMBSTONES_SHARED: &'static str;
    /// Waits until no digest is under way, and keeps others from it until the end of this transaction.
    const LOCK_DIGEST: &'static str;
    /// A text that nobody can guess, as an SQL expression.
    const RANDOM_TEXT: &'static str;
    /// Selects the columns of the tables in the JSON list `$1`: the table's name, then the fields of
    /// [`Column`], in column order; no rows for a table that does not exist.
    const COLUMNS: &'static str;
    /// Selects the names of the tables in the search path.
    const OTHER_TABLES: &'static str;

    /// Selects a row if the role may read the table `$1`.
    const READABLE: &'static str;

    /// Returns the condition that the text `text` may contain `$n`, which is in lower case: it does, or is written in a way that only
    /// parsing shows.
    fn may_have_text(text: &str, n: usize) -> String;
    /// Returns the condition that the text `text` may contain a phone number with the digits `$n`.
    fn may_have_phone(text: &str, n: usize) -> String;
    /// Returns the condition that two columns are one of the pairs of texts in the JSON list `$n`.
    fn any_pair(columns: [&str; 2], n: usize) -> String;
    /// Returns the SQL for the field `name` of the JSON object in the text `column`.
    fn json_field(column: &str, name: &str) -> String;
    /// Returns the SQL that makes a time expression comparable with [`Rows::moment`].
    fn comparable(time: &str) -> String;
    /// Returns the SQL for the time a second before that of [`Rows::moment`]: some columns have whole seconds.
    fn second_before(n: usize) -> String;
    /// Returns the SQL for the time that `$n` has in RFC 3339, comparable with others.
    fn moment(n: usize) -> String;

    /// Returns the condition of being one of the texts in the JSON list `$n`.
    fn any_text(n: usize) -> String;
    /// The same for a column that may have no index: the list is hashed.
    fn in_texts(n: usize) -> String {
        Self::any_text(n)
    }
    /// Returns the condition of being one of the integers in the JSON list `$n`.
    fn any_number(n: usize) -> String;
    /// Returns the condition of being one of the byte strings in the JSON list `$n`, which has them in
    /// hexadecimal.
    fn any_bytes(n: usize) -> String;
    /// Returns the SQL for the byte string that `text` has in hexadecimal.
    fn bytes_of(text: &str) -> String;
    /// The same for `$n`.
    fn bytes(n: usize) -> String {
        Self::bytes_of(&format!("${n}"))
    }
    /// Returns the SQL for a byte string in hexadecimal.
    fn hex(column: &str) -> String;
    /// Returns a from clause with the pairs of texts of the JSON list `$n` as `first` and `second`.
    fn each_pair(n: usize) -> String;
    /// Returns the SQL for the time that `$n` has in RFC 3339.
    fn time(n: usize) -> String;
    /// The same, with null for an empty text.
    fn optional_time(n: usize) -> String {
        Self::time(n).replace(&format!("${n}"), &format!("nullif(${n}, '')"))
    }
    /// Returns the SQL for a row of the table `t` as a JSON object.
    fn json(columns: &[Column]) -> String;

    /// Runs a query and calls `each` for its rows.
    async fn read(&mut self, sql: String, binds: &[String], each: Each<'_>) -> Result<(), sqlx::Error>;

    /// Marks the uncounted events among the ids in the JSON list `events` as counted. Returns them.
    async fn count_uncounted(&mut self, events: &str) -> Result<Vec<ForeignRow>, sqlx::Error>;

    /// Runs a statement. Returns the number of rows it changed.
    async fn run(&mut self, sql: String, binds: &[String]) -> Result<u64, sqlx::Error>;

    /// Runs a query. Returns its first column.
    async fn texts(&mut self, sql: String, binds: &[String]) -> Result<Vec<String>, sqlx::Error> {
        let mut texts = Vec::new();
        let mut collect = |mut fields: Fields| {
            texts.extend(fields.first_mut().and_then(Option::take));
            true
        };
        self.read(sql, binds, &mut collect).await?;
        Ok(texts)
    }

    /// Runs a query that counts. Returns its result.
    async fn number(&mut self, sql: String, binds: &[String]) -> Result<u64, sqlx::Error> {
        Ok(self.texts(sql, binds).await?.first().and_then(|text| text.parse().ok()).unwrap_or(0))
    }
}

/// Implements the functions of [`Rows`] that are the same for both drivers.
macro_rules! run_statements {
    ($database:ty) => {
        async fn count_uncounted(&mut self, events: &str) -> Result<Vec<ForeignRow>, sqlx::Error> {
            let sql = count_sql::<$database>(&format!("id {}", Self::any_number(2)));
            // None of them may be claimed later.
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
    const SHORT_TIMEOUTS: &'static str =
        "select set_config('statement_timeout', '4s', true), set_config('lock_timeout', '800ms', true),
            set_config('plan_cache_mode', 'force_custom_plan', true)";
    const LOCK: &'static str = " for update";
    const LOCK_CONSENTS_SHARED: &'static str =
        "select pg_advisory_xact_lock_shared(hashtext('mlops_consents'))";
    const LOCK_TOMBSTONES_SHARED: &'static str =
        "select pg_advisory_xact_lock_shared(hashtext('mlops_tombstones'))";
    const LOCK_DIGEST: &'static str = <Postgres as Dialect>::LOCK_DIGEST;
    const RANDOM_TEXT: &'static str =
        "encode(sha256(convert_to(concat(random(), random(), clock_timestamp()), 'UTF8')), 'hex')";
    const LOCK_FREE: &'static str = " for update skip locked";
    const COLUMNS: &'static str = "select name, cast(attname as text),
            case when typtype = 'e' then 'enum' else format_type(atttypid, atttypmod) end,
            case when attnotnull then 'y' else 'n' end, case when attgenerated <> '' then 'y' else 'n' end
        from jsonb_array_elements_text(cast($1 as jsonb)) name
        join pg_attribute on attrelid = to_regclass(name) join pg_type t on t.oid = atttypid
        where attnum > 0 and not attisdropped order by name, attnum";
    const OTHER_TABLES: &'static str = "select cast(relname as text) from pg_class
        where relkind in ('r', 'p', 'f') and not relispartition
          and relnamespace in (select oid from pg_namespace where nspname = any(current_schemas(false))) order by 1";

    const READABLE: &'static str = "select 'y' where has_table_privilege(to_regclass($1), 'select')";

    fn may_have_text(text: &str, n: usize) -> String {
        format!(
            "position(${n} in lower({text} collate \"C\")) > 0 or octet_length({text}) > length({text})
             or {text} ilike '%mailto:%' or {text} ilike '%xn--%'"
        )
    }

    fn may_have_phone(text: &str, n: usize) -> String {
        // Finds digits without a regular expression, by deleting all other characters; few texts have three of the digits at all.
        let has_digit = |at: usize| format!("position(substr(${n}, {at}, 1) in {text}) > 0");
        format!(
            "{} and {} and {} and position(${n} in translate({text}, translate({text}, '0123456789', ''), '')) > 0
             or octet_length({text}) > length({text})",
            has_digit(2),
            has_digit(4),
            has_digit(6)
        )
    }

    fn any_pair([first, second]: [&str; 2], n: usize) -> String {
        format!(
            "{second} = any(array(select value ->> 1 from jsonb_array_elements(cast(${n} as jsonb))))
             and ({first}, {second}) in (select value ->> 0, value ->> 1 from jsonb_array_elements(cast(${n} as jsonb)))"
        )
    }

    fn json_field(column: &str, name: &str) -> String {
        format!("(cast({column} as jsonb) ->> '{name}')")
    }

    fn comparable(time: &str) -> String {
        format!("cast({time} as timestamptz)")
    }

    fn second_before(n: usize) -> String {
        format!("cast(${n} as timestamptz) - interval '1 second'")
    }

    fn moment(n: usize) -> String {
        format!("cast(${n} as timestamptz)")
    }

    fn in_texts(n: usize) -> String {
        format!("in (select jsonb_array_elements_text(cast(${n} as jsonb)))")
    }

    fn any_text(n: usize) -> String {
        format!("= any(array(select jsonb_array_elements_text(cast(${n} as jsonb))))")
    }

    fn any_number(n: usize) -> String {
        format!("= any(array(select cast(jsonb_array_elements_text(cast(${n} as jsonb)) as bigint)))")
    }

    fn any_bytes(n: usize) -> String {
        format!("= any(array(select decode(jsonb_array_elements_text(cast(${n} as jsonb)), 'hex')))")
    }

    fn bytes_of(text: &str) -> String {
        format!("decode({text}, 'hex')")
    }

    fn hex(column: &str) -> String {
        format!("encode({column}, 'hex')")
    }

    fn each_pair(n: usize) -> String {
        format!(
            "from (select pair ->> 0 as first, pair ->> 1 as second from jsonb_array_elements(cast(${n} as jsonb)) pair) pairs"
        )
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
    const SHORT_TIMEOUTS: &'static str = "select ''";
    const LOCK: &'static str = "";
    const LOCK_CONSENTS_SHARED: &'static str = "select 1";
    const LOCK_TOMBSTONES_SHARED: &'static str = "select 1";
    const LOCK_DIGEST: &'static str = <Sqlite as Dialect>::LOCK_DIGEST;
    const RANDOM_TEXT: &'static str = "lower(hex(randomblob(16)))";
    const LOCK_FREE: &'static str = "";
    const COLUMNS: &'static str =
        "select value, name, c.type, case when \"notnull\" or pk then 'y' else 'n' end,
            case when hidden in (2, 3) then 'y' else 'n' end
        from json_each($1) join pragma_table_xinfo(value) c where hidden <> 1 order by value, cid";
    const OTHER_TABLES: &'static str = "select name from sqlite_master where type = 'table' and name not like 'sqlite@_%' escape '@' order by 1";

    const READABLE: &'static str = "select 'y' where $1 is not null";

    fn may_have_text(text: &str, n: usize) -> String {
        format!(
            "instr(lower({text}), ${n}) > 0 or length(cast({text} as blob)) > length({text})
             or {text} like '%mailto:%' or {text} like '%xn--%'"
        )
    }

    fn may_have_phone(text: &str, n: usize) -> String {
        // SQLite cannot extract digits from a text.
        let has_digit = |at: usize| format!("instr({text}, substr(${n}, {at}, 1)) > 0");
        let has_all: Vec<String> = (1..=6).map(has_digit).collect();
        format!("{} or length(cast({text} as blob)) > length({text})", has_all.join(" and "))
    }

    fn any_pair([first, second]: [&str; 2], n: usize) -> String {
        format!(
            "({first}, {second}) in (select json_extract(value, '$[0]'), json_extract(value, '$[1]') from json_each(${n}))"
        )
    }

    fn json_field(column: &str, name: &str) -> String {
        format!("json_extract({column}, '$.{name}')")
    }

    fn comparable(time: &str) -> String {
        format!("strftime('%Y-%m-%d %H:%M:%f', {time})")
    }

    fn second_before(n: usize) -> String {
        Self::comparable(&format!("${n}, '-1 second'"))
    }

    fn moment(n: usize) -> String {
        Self::comparable(&format!("${n}"))
    }

    fn any_text(n: usize) -> String {
        format!("in (select value from json_each(${n}))")
    }

    fn any_number(n: usize) -> String {
        Self::any_text(n)
    }

    fn any_bytes(n: usize) -> String {
        format!("in (select unhex(value) from json_each(${n}))")
    }

    fn bytes_of(text: &str) -> String {
        format!("unhex({text})")
    }

    fn hex(column: &str) -> String {
        format!("lower(hex({column}))")
    }

    fn each_pair(n: usize) -> String {
        format!(
            "from (select json_extract(value, '$[0]') as first, json_extract(value, '$[1]') as second from json_each(${n})) pairs"
        )
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
