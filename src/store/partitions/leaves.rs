//! The partitions of `ai_metrics`.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use sqlx::PgConnection;

/// A partition of `ai_metrics`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Leaf {
    /// Its object id.
    pub(in crate::store) oid: i64,
    /// The times of its rows: from the first to before the second. `None` for the default partition, and for one without both.
    pub(in crate::store) times: Option<(NaiveDateTime, NaiveDateTime)>,
}

/// Selects the partitions with their bounds, as Postgres writes them; those with other bounds have none.
const LEAVES: &str = r"select cast(c.oid as bigint),
        cast(substring(pg_get_expr(c.relpartbound, c.oid) from 'FROM \(''([^'']+)''\)') as timestamp),
        cast(substring(pg_get_expr(c.relpartbound, c.oid) from 'TO \(''([^'']+)''\)') as timestamp)
    from pg_inherits join pg_class c on c.oid = inhrelid
    where inhparent = to_regclass('ai_metrics')
      and exists (select from pg_class p where p.oid = inhparent and p.relkind = 'p')
    order by 2 nulls last";

impl Leaf {
    /// Returns the partitions, by time; none if the table is not partitioned.
    pub(in crate::store) async fn all(conn: &mut PgConnection) -> Result<Vec<Self>, sqlx::Error> {
        let found: Vec<(i64, Option<NaiveDateTime>, Option<NaiveDateTime>)> =
            sqlx::query_as(LEAVES).fetch_all(conn).await?;
        Ok(found.into_iter().map(|(oid, from, until)| Self { oid, times: from.zip(until) }).collect())
    }

    /// Returns the first day of its month; `None` if it is not that of a month.
    pub(in crate::store) fn month(&self) -> Option<NaiveDate> {
        let (from, until) = self.times?;
        let next = from.date().checked_add_months(chrono::Months::new(1))?;
        (from == next_midnight(from.date())
            && until == next_midnight(next)
            && from.date() == first_of(from.date()))
        .then(|| from.date())
    }

    /// Returns whether all its rows are from before `cutoff`.
    pub(in crate::store) fn is_before(&self, cutoff: DateTime<Utc>) -> bool {
        self.times.is_some_and(|(_, until)| until <= cutoff.naive_utc())
    }

    /// Returns whether none of its rows is from before `cutoff`.
    pub(in crate::store) fn is_after(&self, cutoff: DateTime<Utc>) -> bool {
        self.times.is_some_and(|(from, _)| from >= cutoff.naive_utc())
    }

    /// Returns the condition of its rows of `t`. It names times, so that other partitions are not read.
    pub(in crate::store) fn condition(&self) -> String {
        match self.times {
            Some((from, until)) => format!("t.created_at >= '{from}' and t.created_at < '{until}'"),
            None => format!("t.tableoid = cast({} as oid)", self.oid),
        }
    }
}

/// Returns the first day of the month of `day`.
pub(super) fn first_of(day: NaiveDate) -> NaiveDate {
    chrono::Datelike::with_day(&day, 1).unwrap_or(day)
}

fn next_midnight(day: NaiveDate) -> NaiveDateTime {
    day.and_time(chrono::NaiveTime::MIN)
}
