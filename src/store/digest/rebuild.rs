//! Builds facts and sums from events that were stored before these tables existed, from the newest to the oldest, in steps.

use std::time::Duration;

use chrono::{Days, NaiveDate};
use sqlx::AssertSqlSafe;

use super::add;
use crate::event::Event;
use crate::store::dialect::Dialect;
use crate::store::events::foreign::ForeignRow;
use crate::store::{READ_LIMIT, Store, StoreError, dialect};

/// The time limit of a step.
const STEP_LIMIT: Duration = Duration::from_secs(10);

/// How far facts and sums were built from older events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebuild {
    /// Rows of `ai_metrics` with a smaller id are still to be added; 1 if none is left.
    pub below: i64,
    /// The number of rows that were to be added, at most.
    pub of_rows: i64,
    /// The day of the oldest row added so far.
    pub reached: Option<NaiveDate>,
    /// The first day of which every event was still stored; `None` if rows of no day were missing.
    pub known_from: Option<NaiveDate>,
}

from_row!(Rebuild { below, of_rows, reached, known_from });

impl Rebuild {
    /// The query for it.
    pub(in crate::store) const STATE: &'static str =
        "select below, of_rows, reached, known_from from mlops_rebuild";

    /// Returns whether every row was added.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.below <= 1
    }

    /// Returns the number of rows that are still to be added, at most.
    #[must_use]
    pub fn left(&self) -> i64 {
        (self.below - 1).clamp(0, self.of_rows)
    }

    /// Returns the first day of which conversations are known; `None` if they are of all days. Before the first step of a rebuild, only what
    /// came since its begin is known: that is `today`.
    #[must_use]
    pub fn known_from(&self, today: NaiveDate) -> Option<NaiveDate> {
        let under_way = (!self.is_done()).then(|| self.reached.unwrap_or(today));
        under_way.max(self.known_from)
    }
}

impl Store {
    /// Notes which events are older than the tables of facts, unless that was noted before.
    pub(in crate::store) async fn begin_rebuild(&self) -> Result<(), StoreError> {
        const IDS: &str = "select cast(coalesce(min(id), 1) as bigint), cast(coalesce(max(id), 0) as bigint) from ai_metrics";
        const BEGIN: &str =
            "insert into mlops_rebuild (id, below, of_rows) values (1, $1, $2) on conflict (id) do nothing";
        on!(&self.admin, STEP_LIMIT, |conn| {
            let noted: Option<Rebuild> = sqlx::query_as(Rebuild::STATE).fetch_optional(&mut *conn).await?;
            if noted.is_some() {
                return Ok(());
            }
            let (first, last): (i64, i64) = sqlx::query_as(IDS).fetch_one(&mut *conn).await?;
            let begin = sqlx::query(BEGIN).bind(last + 1).bind(last + 1 - first);
            begin.execute(&mut *conn).await.map(drop)
        })
    }

    /// Returns how far facts and sums were built from older events.
    pub async fn rebuild(&self) -> Result<Rebuild, StoreError> {
        on!(&self.read, READ_LIMIT, |conn| sqlx::query_as(Rebuild::STATE).fetch_one(conn).await)
    }

    /// Adds the older events with the next `most` ids. Returns how far it is then.
    pub async fn rebuild_some(&self, most: i64) -> Result<Rebuild, StoreError> {
        const FIRST: &str = "select cast(coalesce(min(id), 1) as bigint) from ai_metrics";
        const REACH: &str = "update mlops_rebuild set below = $1, reached = $2, known_from = $3";
        let profiles = self.profiles.current();
        let appraisal = self.appraisal(&profiles);
        on!(&self.admin, STEP_LIMIT, |conn| {
            let mut tx = dialect::begin(conn).await?;
            dialect::relax_commit(&mut *tx).await?;
            dialect::lock_digest(&mut *tx).await?;
            let state: Rebuild = sqlx::query_as(Rebuild::STATE).fetch_one(&mut *tx).await?;
            if state.is_done() {
                return Ok(state);
            }
            let first: i64 = sqlx::query_scalar(FIRST).fetch_one(&mut *tx).await?;
            let from = state.below - most;
            let select = AssertSqlSafe(older_rows(&tx));
            let rows: Vec<ForeignRow> =
                sqlx::query_as(select).bind(from).bind(state.below).fetch_all(&mut *tx).await?;
            let events: Vec<Event> = rows.into_iter().map(ForeignRow::into_stored_event).collect();
            let days = events.iter().map(|event| profiles.day(&event.business_id, event.at));
            let reached = days.chain(state.reached).min();
            add(&mut *tx, appraisal.digest(&events)).await?;
            let below = if from <= first { 1 } else { from };
            let known_from = match below {
                1 => {
                    let answers = sqlx::query_as(FIRST_ANSWERS).fetch_optional(&mut *tx).await?;
                    known_from(answers, sqlx::query_as(FIRST_EVENTS).fetch_optional(&mut *tx).await?)
                }
                _ => None,
            };
            sqlx::query(REACH).bind(below).bind(reached).bind(known_from).execute(&mut *tx).await?;
            tx.commit().await?;
            Ok(Rebuild { below, reached, known_from, ..state })
        })
    }
}

/// Selects the first day with a digested answer, and the number of its answers.
const FIRST_ANSWERS: &str = "select day, cast(sum(answers) as bigint) from mlops_conversation_daily
    where day = (select min(day) from mlops_conversation_daily where answers > 0) group by day";

/// Selects the first day with an event, the number of its events, and the last day with one.
const FIRST_EVENTS: &str =
    "select day, cast(sum(events) as bigint), (select max(day) from ai_rollup_daily_now)
    from ai_rollup_daily_now where day = (select min(day) from ai_rollup_daily_now) group by day";

/// Returns the first day of which no row is missing, when the first days with rows, and with events, are these; `None` if that goes for all
/// days.
fn known_from(
    answers: Option<(NaiveDate, i64)>,
    events: Option<(NaiveDate, i64, NaiveDate)>,
) -> Option<NaiveDate> {
    let next = |day: NaiveDate| day.checked_add_days(Days::new(1));
    match (answers, events) {
        (_, None) => None,
        (None, Some((.., last))) => next(last),
        (Some((first, answers)), Some((day, events, _)))
            if (first, answers) == (day, events) || first < day =>
        {
            None
        }
        // A part of the first day may have been deleted; and if none was, conversations may reach into it from days that were, and would
        // seem to begin on it.
        (Some((first, _)), Some(_)) => next(first),
    }
}

/// Returns the query for the counted rows with an id from `$1` and below `$2`.
fn older_rows<DB: Dialect>(_: &sqlx::Transaction<'_, DB>) -> String {
    format!(
        "select {} from ai_metrics where id >= $1 and id < $2 and event_id is not null",
        DB::FOREIGN_VALUES.as_str()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversations_are_known_from_where_rows_were_missing_or_the_rebuild_has_come() {
        let day = |n: u64| NaiveDate::default() + Days::new(n);
        let today = day(9);
        for (below, reached, known_from, expected) in [
            (1, Some(day(2)), None, None),
            (1, Some(day(2)), Some(day(1)), Some(day(1))),
            (7, Some(day(2)), Some(day(1)), Some(day(2))),
            (7, None, Some(day(1)), Some(today)),
        ] {
            let rebuild = Rebuild { below, of_rows: 9, reached, known_from };
            assert_eq!(rebuild.known_from(today), expected, "{rebuild:?}");
        }
    }
}
