//! Reads stored events as they are, as texts, for an export: in windows of ids, so that no read takes long.

use std::ops::Range;
use std::sync::LazyLock;

use chrono::{DateTime, NaiveDateTime, Utc};
use sqlx::{AssertSqlSafe, Row};

use crate::event::{COLUMNS, Column, Getter};
use crate::store::rollups::columns::list;
use crate::store::{Db, READ_LIMIT, Store, StoreError};

/// Which events are exported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportFilter {
    /// Those of this business; `None` for all.
    pub business_id: Option<String>,
    /// Those from this time on.
    pub from: Option<DateTime<Utc>>,
    /// Those before this time.
    pub before: Option<DateTime<Utc>>,
}

/// The `id` of a row and the values of [`COLUMNS`], as texts; `None` for null.
pub type ExportedRow = Vec<Option<String>>;

/// A select of an [`ExportedRow`] with an id from `$1` and below `$2`.
fn select(value: fn(&Column) -> String) -> String {
    let values = list(COLUMNS.iter().map(value));
    format!(
        "select cast(id as text), {values} from ai_metrics where id >= $1 and id < $2
            and ($3 is null or business_id = $3) and ($4 is null or created_at >= $4)
            and ($5 is null or created_at < $5) order by id"
    )
}

static POSTGRES: LazyLock<String> = LazyLock::new(|| {
    // The parameters that may be null have no type otherwise.
    let sql = select(|Column { name, get }| match get {
        Getter::Flag(_) => flag(name),
        Getter::Time(_) => format!("to_char({name}, 'YYYY-MM-DD HH24:MI:SS.US')"),
        _ => format!("cast({name} as text)"),
    });
    sql.replace("$3", "$3::text").replace("$4", "$4::timestamp").replace("$5", "$5::timestamp")
});

static SQLITE: LazyLock<String> = LazyLock::new(|| {
    select(|Column { name, get }| match get {
        Getter::Id(_) => format!("case when {name} is not null then lower(hex({name})) end"),
        Getter::SuccessRate(_) | Getter::Rating(_) => {
            format!("case when {name} is not null then printf('%.4f', {name}) end")
        }
        Getter::Usd(_) => format!("case when {name} is not null then printf('%.6f', {name}) end"),
        Getter::Flag(_) => flag(name),
        Getter::Time(_) => with_micros(name),
        _ => format!("cast({name} as text)"),
    })
});

/// Writes all digits of a time that has no zone. What another program has written in another form stays.
fn with_micros(name: &str) -> String {
    format!(
        "case when length({name}) = 19 then {name} || '.000000'
              when substr({name}, 20, 1) = '.' and substr({name}, 21) not glob '*[^0-9]*' then substr({name} || '000000', 1, 26)
              else cast({name} as text) end"
    )
}

fn flag(name: &str) -> String {
    format!("case when {name} then 'true' when not {name} then 'false' end")
}

impl Store {
    /// Returns the ids of stored events: from the first one up to behind the last one.
    pub async fn event_ids(&self) -> Result<Range<i64>, StoreError> {
        const SQL: &str = "select cast(coalesce(min(id), 0) as bigint), cast(coalesce(max(id) + 1, 0) as bigint) from ai_metrics";
        let (first, end): (i64, i64) =
            on!(&self.read, READ_LIMIT, |conn| sqlx::query_as(SQL).fetch_one(conn).await)?;
        Ok(first..end)
    }

    /// Returns the first id from `id` on; `None` if there is none.
    pub async fn next_event_id(&self, id: i64) -> Result<Option<i64>, StoreError> {
        const SQL: &str = "select cast(min(id) as bigint) from ai_metrics where id >= $1";
        on!(&self.read, READ_LIMIT, |conn| sqlx::query_scalar(SQL).bind(id).fetch_one(conn).await)
    }

    /// Returns the rows with ids in a range, which should be a few thousand wide, in the order of their ids.
    pub async fn export_events(
        &self,
        ids: Range<i64>,
        filter: &ExportFilter,
    ) -> Result<Vec<ExportedRow>, StoreError> {
        let sql = match &self.read {
            Db::Postgres(_) => POSTGRES.as_str(),
            Db::Sqlite(_) => SQLITE.as_str(),
        };
        let time = |at: Option<DateTime<Utc>>| -> Option<NaiveDateTime> { at.map(|at| at.naive_utc()) };
        on!(&self.read, READ_LIMIT, |conn| {
            let query = sqlx::query(AssertSqlSafe(sql)).bind(ids.start).bind(ids.end);
            let query = query.bind(&filter.business_id).bind(time(filter.from)).bind(time(filter.before));
            let rows = query.fetch_all(conn).await?;
            let values = |row| (0..=COLUMNS.len()).map(|column| Row::try_get(row, column)).collect();
            rows.iter().map(values).collect()
        })
    }
}
