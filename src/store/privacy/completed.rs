//! How many requests of customers were completed.

use std::collections::BTreeMap;
use std::ops::Range;

use chrono::{DateTime, Utc};

use crate::store::{READ_LIMIT, Store, StoreError};

impl Store {
    /// Returns the number of requests to this business that were completed within `when`, by kind. Requests to all businesses are not among them.
    pub async fn completed_requests(
        &self,
        business_id: &str,
        when: Range<DateTime<Utc>>,
    ) -> Result<BTreeMap<String, i64>, StoreError> {
        const SQL: &str = "select kind, count(*) from mlops_privacy_requests
            where business_id = $1 and done_at >= $2 and done_at < $3 group by kind";
        let rows: Vec<(String, i64)> = on!(&self.read, READ_LIMIT, |conn| {
            sqlx::query_as(SQL).bind(business_id).bind(when.start).bind(when.end).fetch_all(conn).await
        })?;
        Ok(rows.into_iter().collect())
    }
}
