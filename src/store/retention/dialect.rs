//! The SQL of retention runs that differs between the databases.

use super::Retained;
use crate::store::{Db, Store};

/// The SQL of retention runs for one database.
pub(super) struct RetentionSql {
    /// Selects the names and types of the columns of the table `$1`; no rows if it does not exist or is a
    /// view.
    pub(super) columns: &'static str,
    /// The condition of the rows of `t` in the window from `$1` to before `$2`.
    pub(super) window: fn(Retained) -> &'static str,
    /// The query for the start of the first window and the end of the last one.
    pub(super) extent: fn(Retained) -> String,
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
        where c.oid = to_regclass($1) and c.relkind = 'r' and a.attnum > 0 and not a.attisdropped",
    window: |_| "t.ctid >= cast('(' || cast($1 as bigint) || ',0)' as tid) and t.ctid < cast('(' || cast($2 as bigint) || ',0)' as tid)",
    extent: |kind| {
        format!(
            "select cast(0 as bigint), pg_relation_size('{}') / cast(current_setting('block_size') as bigint)",
            kind.table()
        )
    },
    time: str::to_owned,
    is_infinite: |time| format!("{time} = 'infinity'"),
    holds_times: |kind| kind == "date" || kind.starts_with("timestamp"),
    skip_locked: "for update skip locked",
};

/// Windows are ranges of row ids, or of seconds since 1970 for a table without row ids. Invalid times become
/// null.
const SQLITE: RetentionSql = RetentionSql {
    columns: "select name, type from pragma_table_info($1)",
    window: |kind| match kind {
        Retained::CountedIds => {
            "t.at >= strftime('%Y-%m-%dT%H:%M:%S', $1, 'unixepoch') and t.at < strftime('%Y-%m-%dT%H:%M:%S', $2, 'unixepoch')"
        }
        Retained::Events
        | Retained::Messages
        | Retained::ChatMessages
        | Retained::Conversations
        | Retained::Appointments
        | Retained::Requests
        | Retained::Consents
        | Retained::Tombstones
        | Retained::Audit => "t.rowid >= $1 and t.rowid < $2",
    },
    extent: |kind| match kind {
        Retained::CountedIds => "select coalesce(cast(strftime('%s', min(at)) as integer), 0),
            coalesce(cast(strftime('%s', max(at)) as integer) + 1, 0) from mlops_counted_events"
            .to_owned(),
        Retained::Events
        | Retained::Messages
        | Retained::ChatMessages
        | Retained::Conversations
        | Retained::Appointments
        | Retained::Requests
        | Retained::Consents
        | Retained::Tombstones
        | Retained::Audit => {
            format!("select coalesce(min(rowid), 0), coalesce(max(rowid) + 1, 0) from {}", kind.table())
        }
    },
    time: |text| format!("strftime('%Y-%m-%d %H:%M:%f', {text})"),
    is_infinite: |text| format!("lower({text}) = 'infinity'"),
    holds_times: |_| true,
    skip_locked: "",
};
