//! Drops whole months of events that are old.

use std::time::Instant;

use chrono::{DateTime, NaiveDate, Utc};

use super::{Failure, Run, TableTally};
use crate::store::{StoreError, TablePlan, Window};

impl Run<'_> {
    /// Drops a partition whose every row is old. Returns whether it is gone; else its rows are to be deleted one by one.
    pub(super) async fn drop_past_month(
        &self,
        done: &mut TableTally,
        plan: &TablePlan,
        cutoff: DateTime<Utc>,
    ) -> Result<bool, Failure> {
        let Some(month) = plan.past_month(cutoff) else { return Ok(false) };
        if !self.store.may_drop(plan).await? {
            return Ok(false);
        }
        let rows = self.forget_ids(plan, month, cutoff).await?;
        let mut pace = self.pace();
        loop {
            match self.store.drop_month(month, cutoff, rows).await {
                Ok(is_gone) => {
                    if is_gone {
                        done.rows = Some(done.rows.unwrap_or(0) + rows);
                        self.metrics.deleted(done.kind.table(), rows);
                    }
                    return Ok(is_gone);
                }
                Err(error) => {
                    let pause = pace.pause_after_failure().filter(|_| is_transient(&error)).ok_or(error)?;
                    self.pause(pause).await?;
                }
            }
        }
    }

    /// Removes the ids of the events of a partition. Returns the number of its rows.
    async fn forget_ids(
        &self,
        plan: &TablePlan,
        month: NaiveDate,
        cutoff: DateTime<Utc>,
    ) -> Result<u64, Failure> {
        let (mut pace, mut from, mut rows) = (self.pace(), plan.range.start, 0);
        while from < plan.range.end {
            let range = pace.window(from, plan.range.end);
            let begun = Instant::now();
            let pause = match self.store.forget_ids(Window::new(plan, &range, cutoff, cutoff), month).await {
                Ok(found) => {
                    rows += found;
                    from = range.end;
                    pace.pause_after(begun.elapsed())
                }
                Err(error) => pace.pause_after_failure().filter(|_| is_transient(&error)).ok_or(error)?,
            };
            self.pause(pause).await?;
        }
        Ok(rows)
    }
}

/// Returns whether the same may succeed later.
const fn is_transient(error: &StoreError) -> bool {
    !matches!(error, StoreError::Unusable(_)) && !error.is_refusal()
}
