//! The series that metrics show; all others are folded into `other`. They are stored, so that all replicas show the same ones, even
//! after a restart.

use strum::VariantArray;

use crate::metrics::{Bounds, Series, SeriesKind};
use crate::rollup::Key;
use crate::store::{READ_LIMIT, Store, StoreError, WRITE_LIMIT, dialect};

type Row = (String, String, String, String, String);

impl Store {
    /// Returns the series, in the order in which they were added.
    pub async fn series(&self) -> Result<Vec<Series>, StoreError> {
        const SQL: &str = "select kind, business_id, model_name, intent_detected, response_type
            from ai_metric_series order by place";
        let rows: Vec<Row> = on!(&self.read, READ_LIMIT, |conn| sqlx::query_as(SQL).fetch_all(conn).await)?;
        let series = rows.into_iter().filter_map(|(kind, business, model, intent, response_type)| {
            let kind = SeriesKind::VARIANTS.iter().copied().find(|known| known.name() == kind)?;
            Some(Series { kind, key: Key::from([business, model, intent, response_type]) })
        });
        Ok(series.collect())
    }

    /// Adds series, each within its bounds. Returns those that are shown now.
    pub async fn add_series(&self, new: &[(Series, Bounds)]) -> Result<Vec<Series>, StoreError> {
        const ADD: &str = "insert into ai_metric_series
                (kind, business_id, model_name, intent_detected, response_type)
            select $1, $2, $3, $4, $5
            where (select count(*) from ai_metric_series where kind = $1) < $6
              and (select count(*) from ai_metric_series where kind = $1 and business_id = $2) < $7
            on conflict (kind, business_id, model_name, intent_detected, response_type) do nothing";
        const IS_SHOWN: &str = "select count(*) from ai_metric_series where kind = $1 and business_id = $2
            and model_name = $3 and intent_detected = $4 and response_type = $5";
        on!(&self.write, WRITE_LIMIT, |conn| {
            let mut tx = dialect::begin(conn).await?;
            dialect::lock_series(&mut *tx).await?;
            let mut shown = Vec::new();
            for (series, bounds) in new {
                let [business, model, intent, response_type] = series.key.parts();
                let add = sqlx::query(ADD).bind(series.kind.name()).bind(business).bind(model).bind(intent);
                let add = add.bind(response_type).bind(bounds.all).bind(bounds.of_business);
                let mut is_shown = add.execute(&mut *tx).await?.rows_affected() > 0;
                if !is_shown {
                    let find = sqlx::query_scalar(IS_SHOWN).bind(series.kind.name()).bind(business);
                    let find = find.bind(model).bind(intent).bind(response_type);
                    let found: i64 = find.fetch_one(&mut *tx).await?;
                    is_shown = found > 0;
                }
                shown.extend(is_shown.then(|| series.clone()));
            }
            tx.commit().await?;
            Ok(shown)
        })
    }
}
