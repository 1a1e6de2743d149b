//! Counts events without storing their rows.

use chrono::{DateTime, Utc};

use super::dynamic_sql::Rows;
use super::schema::Schema;
use crate::event::Event;
use crate::rollup::Rollup;
use crate::store::rollups::AddRollup;
use crate::store::{Db, Store, StoreError, WRITE_LIMIT, dialect};

impl Store {
    /// Adds events of the spool to the rollups without storing their rows, except those counted before. Their
    /// keys are recorded, so that a repeated event is not counted again.
    pub async fn count_without_rows(&self, events: &[Event], at: DateTime<Utc>) -> Result<(), StoreError> {
        const RECORD: &str = "insert into mlops_counted_events (event_id, business_id, at)
            select $1, $2, $3
            where not exists (select from mlops_counted_events where event_id = $1 and business_id = '')
            on conflict (event_id, business_id) do nothing";
        let Db::Postgres(db) = &self.write else { return Ok(()) };
        if events.is_empty() {
            return Ok(());
        }
        crate::store::on!(@run db, WRITE_LIMIT, conn, {
            let mut tx = dialect::begin(conn).await?;
            let can_record = has_counted_events(&mut *tx).await?;
            let mut counted = Vec::with_capacity(events.len());
            for event in events {
                let is_new = !can_record
                || sqlx::query(RECORD).bind(event.id).bind(&event.business_id).bind(at).execute(&mut *tx).await?.rows_affected() == 1;
                counted.extend(is_new.then_some(event));
            }
            tx.add_rollup(&Rollup::of(counted, &self.profiles.current())).await?;
            tx.commit().await
        })
    }
}

async fn has_counted_events<C: Rows>(conn: &mut C) -> Result<bool, sqlx::Error> {
    Ok(Schema::read(conn).await?.has_counted_events())
}
