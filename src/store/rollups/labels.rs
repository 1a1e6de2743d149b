//! The label values that metrics show; all others are folded into `other`. They are stored, so that all replicas show
//! the same ones, even after a restart.

use crate::store::{READ_LIMIT, Store, StoreError, WRITE_LIMIT, dialect};

impl Store {
    /// Returns at most `max` values of `label`, in the order in which they were added.
    pub async fn label_values(&self, label: &str, max: usize) -> Result<Vec<String>, StoreError> {
        const SQL: &str = "select value from ai_metric_labels where label = $1 order by place limit $2";
        let max = i64::try_from(max).unwrap_or(i64::MAX);
        on!(&self.read, READ_LIMIT, |conn| {
            sqlx::query_scalar(SQL).bind(label).bind(max).fetch_all(conn).await
        })
    }

    /// Appends values of `label` while it has fewer than `max`. Existing ones are ignored.
    pub async fn add_label_values(
        &self,
        label: &str,
        values: &[String],
        max: usize,
    ) -> Result<(), StoreError> {
        const SQL: &str = "insert into ai_metric_labels (label, value) select $1, $2
            where (select count(*) from ai_metric_labels where label = $1) < $3 on conflict (label, value) do nothing";
        let max = i64::try_from(max).unwrap_or(i64::MAX);
        on!(&self.write, WRITE_LIMIT, |conn| {
            let mut tx = dialect::begin(conn).await?;
            dialect::lock_labels(&mut *tx).await?;
            for value in values {
                sqlx::query(SQL).bind(label).bind(value).bind(max).execute(&mut *tx).await?;
            }
            tx.commit().await
        })
    }
}
