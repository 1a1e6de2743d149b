//! Reads what is counted over all time, for metrics.

use crate::conversation::FactTotals;
use crate::store::{READ_LIMIT, Store, StoreError};

impl Store {
    /// Returns what is counted over all time.
    pub async fn fact_totals(&self) -> Result<FactTotals, StoreError> {
        const SQL: &str = "select business_id, kind, label, amount from mlops_fact_totals";
        let rows: Vec<(String, String, String, i64)> =
            on!(&self.read, READ_LIMIT, |conn| sqlx::query_as(SQL).fetch_all(conn).await)?;
        let mut totals = FactTotals::default();
        for (business_id, kind, label, amount) in rows {
            if let Ok(kind) = kind.parse() {
                totals.add(&business_id, kind, &label, amount);
            }
        }
        Ok(totals)
    }
}
