//! Checks the months of a partitioned table of events.

use chrono::{DateTime, Utc};

use super::database::with_store;
use super::finding::{Check, Finding};
use crate::store::Store;

/// The least number of months that should have a partition ahead: each is made a year ahead.
const LEAST_AHEAD: u32 = 2;

const PARTITIONS: Check = Check::new("partitions", "months of ai_metrics ahead");

/// Checks that there are partitions for the months to come.
pub(super) async fn ahead(store: Option<&Store>, now: DateTime<Utc>) -> Finding {
    match with_store(PARTITIONS, store, async |store| store.event_months(now).await).await {
        Err(finding) => finding,
        Ok(None) => PARTITIONS.not_applicable("ai_metrics is not partitioned"),
        Ok(Some(months)) if months.ahead >= LEAST_AHEAD => {
            PARTITIONS.ok(format!("{} of {} months", months.ahead, months.months.len()))
        }
        Ok(Some(months)) => PARTITIONS.wrong(
            format!("{}; rows of later months all go to the default partition", months.ahead),
            "run mlops-service partition --yes, as the owner of the table, and see the service's log for why it does not",
        ),
    }
}
