//! The SQL of retention runs that differs between the databases.

use super::Retained;
use crate::store::{Db, Store};

/// The SQL of retention runs for one database.
pub(super) struct RetentionSql {
    /// Selects the names and types of the columns of the table `$1`; no rows if it does not exist or is a
    /// view.
    pub(super) columns: &'static str,
    /// Selects those of a table or view `$1` that the service may read.
    pub(super) readable_columns: &'static str,
    /// The condition of a row of `t`, an event, that is not digested yet.
    pub(super) undigested: &'static str,
    /// The condition of the rows of `t` in the window from `$1` to before `$2`.
    pub(super) window: fn(Retained) -> String,
    /// The query for the start of the first window and the end of the last one of a table, or of the partition with this object id.
    pub(super) extent: fn(Retained, Option<i64>) -> String,
    /// The query for the start of the next window, from `$1` on, where a gap before it may be skipped; null at the end.
    pub(super) next: fn(Retained) -> Option<String>,
    /// Converts a time expression to a comparable form.
    pub(super) time: fn(&str) -> String,
    /// The condition that a time or date is `infinity`.
    pub(super) is_infinite: fn(&str) -> String,
    /// Returns whether a column of this type contains times.
    pub(super) holds_times: fn(&str) -> bool,
    /// Excludes rows locked by another session from a query.
    pub(super) skip_locked: &'static str,
}

impl Store {
    /// Returns the SQL of retention runs for this database.
    pub(super) const fn sql(&self) -> &'static RetentionSql {
        match self.sweep {
            Db::Postgres(_) => &POSTGRES,
            Db::Sqlite(_) => &SQLITE,
        }
    }
}

/// Windows are ranges of pages. The planner must not find an index scan cheaper than the range scan, so `is
/// true` hides conditions on a row's age from indexes.
const POSTGRES: RetentionSql = RetentionSql {
    columns: "select cast(a.attname as text), format_type(a.atttypid, null) from pg_attribute a
        join pg_class c on c.oid = a.attrelid
        where c.oid = to_regclass($1) and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped",
    readable_columns: "select cast(attname as text), format_type(atttypid, null) from pg_attribute
        where attrelid = to_regclass($1) and attnum > 0 and not attisdropped and has_table_privilege(attrelid, 'select')",
    // The list is read once, and nearly always empty.
    undigested: "(t.id = any(array(select unnest(event_rows) from mlops_undigested))
        or t.id < coalesce((select below from mlops_rebuild), 0))",
    window: |_| {
        let page = |n| format!("cast('(' || cast(${n} as bigint) || ',0)' as tid)");
        format!("t.ctid >= {} and t.ctid < {}", page(1), page(2))
    },
    extent: |kind, part| {
        let table = part.map_or_else(|| format!("'{}'", kind.table()), |oid| format!("cast({oid} as oid)"));
        format!("select cast(0 as bigint), pg_relation_size({table}) / cast(current_setting('block_size') as bigint)")
    },
    next: |_| None,
    time: str::to_owned,
    is_infinite: |time| format!("{time} = 'infinity'"),
    holds_times: |kind| kind == "date" || kind.starts_with("timestamp"),
    skip_locked: "for update skip locked",
};

/// Windows are ranges of row ids, or of seconds since 1970 for a table without row ids. Invalid times become
/// null.
const SQLITE: RetentionSql = RetentionSql {
    columns: "select name, type from pragma_table_info($1)",
    readable_columns: "select name, type from pragma_table_info($1)",
    undigested: "(t.id in (select e.value from mlops_undigested, json_each(event_rows) e)
        or t.id < coalesce((select below from mlops_rebuild), 0))",
    window: |kind| match dated_by(kind) {
        Some(time) => format!("t.{time} >= {} and t.{time} < {}", second(1), second(2)),
        None => "t.rowid >= $1 and t.rowid < $2".to_owned(),
    },
    extent: |kind, _| match dated_by(kind) {
        Some(time) => format!(
            "select coalesce({}, 0), coalesce({} + 1, 0) from {}",
            seconds(&format!("min({time})")),
            seconds(&format!("max({time})")),
            kind.table()
        ),
        None => format!("select coalesce(min(rowid), 0), coalesce(max(rowid) + 1, 0) from {}", kind.table()),
    },
    next: |kind| {
        let time = dated_by(kind)?;
        let first = seconds(&format!("min({time})"));
        Some(format!("select {first} from {} where {time} >= {}", kind.table(), second(1)))
    },
    time: |text| format!("strftime('%Y-%m-%d %H:%M:%f', {text})"),
    is_infinite: |text| format!("lower({text}) = 'infinity'"),
    holds_times: |_| true,
    skip_locked: "",
};

/// Returns the column by whose time the windows of a table without row ids are found.
const fn dated_by(kind: Retained) -> Option<&'static str> {
    match kind {
        Retained::Facts => Some("last_at"),
        Retained::Outcomes => Some("occurred_at"),
        Retained::CountedIds => Some("at"),
        Retained::Events
        | Retained::Messages
        | Retained::ChatMessages
        | Retained::Conversations
        | Retained::Appointments
        | Retained::Book
        | Retained::Requests
        | Retained::Consents
        | Retained::Tombstones
        | Retained::Audit => None,
    }
}

/// Returns the SQL for the time `$n` seconds after 1970, as times are stored.
fn second(n: usize) -> String {
    format!("strftime('%Y-%m-%dT%H:%M:%S', ${n}, 'unixepoch')")
}

/// Returns the SQL for the seconds from 1970 to a stored time.
fn seconds(time: &str) -> String {
    format!("cast(strftime('%s', {time}) as integer)")
}
