//! Makes the months of the partitioned table ahead of time.

use chrono::{DateTime, Months, NaiveDate, Utc};

use super::leaves::{Leaf, first_of};
use crate::store::retention::STEP_LIMIT;
use crate::store::{Db, READ_LIMIT, Store, StoreError};

/// How many months after the current one have their partition. A row of a month without one is kept in the default partition.
const AHEAD: u32 = 12;

/// The months of the partitioned table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventMonths {
    /// The first day of each month that has a partition.
    pub months: Vec<NaiveDate>,
    /// How many months from the one after the current one on have a partition, without a gap.
    pub ahead: u32,
}

impl Store {
    /// Returns the months of the partitioned table at `now`; `None` if `ai_metrics` is not partitioned.
    pub async fn event_months(&self, now: DateTime<Utc>) -> Result<Option<EventMonths>, StoreError> {
        let Db::Postgres(db) = &self.sweep else { return Ok(None) };
        let leaves = on!(@run db, READ_LIMIT, conn, Leaf::all(conn).await)?;
        if leaves.is_empty() {
            return Ok(None);
        }
        let months: Vec<NaiveDate> = leaves.iter().filter_map(Leaf::month).collect();
        let ahead = wanted(now).skip(1).take_while(|month| months.contains(month)).count();
        Ok(Some(EventMonths { months, ahead: u32::try_from(ahead).unwrap_or(AHEAD) }))
    }

    /// Makes the partitions of the current month and the next twelve that are missing, each in a transaction. Returns how many it
    /// made; none if `ai_metrics` is not partitioned.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unusable`] if the role has no right to, and [`StoreError::Conflict`] if another session holds a lock.
    pub async fn add_event_months(&self, now: DateTime<Utc>) -> Result<usize, StoreError> {
        let (Some(there), Db::Postgres(db)) = (self.event_months(now).await?, &self.sweep) else {
            return Ok(0);
        };
        let mut made = 0;
        for month in wanted(now).filter(|month| !there.months.contains(month)) {
            let is_new: bool = on!(@run db, STEP_LIMIT, conn, {
                sqlx::query_scalar("select mlops_add_event_month($1)").bind(month).fetch_one(conn).await
            })?;
            made += usize::from(is_new);
        }
        Ok(made)
    }
}

/// Returns the months that are to have a partition at `now`: the current one and those ahead.
pub(super) fn wanted(now: DateTime<Utc>) -> impl Iterator<Item = NaiveDate> {
    let current = first_of(now.date_naive());
    (0..=AHEAD).filter_map(move |later| current.checked_add_months(Months::new(later)))
}
