//! Importing on SQLite.

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::SqliteConnection;

use super::super::sqlite::{LEAVE_TO_DIGEST, insert_new};
use super::super::{WriteOutcome, counted_only};
use super::ImportRows;
use crate::event::Event;
use crate::store::digest::{self, Appraisal};

const KNOWN: &str = "select j.key from json_each($1) j
    where exists (select 1 from ai_metrics where event_id = unhex(j.value ->> 0) and business_id = j.value ->> 1)
       or exists (select 1 from mlops_counted_events
                  where event_id = unhex(j.value ->> 0) and business_id in ('', j.value ->> 1))";

const NEWEST: &str = "select coalesce(max(id), 0) from ai_metrics";

impl ImportRows for SqliteConnection {
    const IS_FOREIGN: &'static str = "(m.event_id is null
        or m.event_id between x'00000000000080008000000000000000' and x'00000000000080018000ffffffffffff')";
    const IS_CLAIMABLE: &'static str = "(m.event_id is null
        or m.event_id between x'00000000000080008000000000000000' and x'00000000000080008000ffffffffffff')";
    const LOOKUPS: &'static str = "(select value ->> 0 as n, value ->> 1 as business_id, value ->> 2 as session_id,
            value ->> 3 as response_time_ms, value ->> 4 as tokens_used, value ->> 5 as since, value ->> 6 as until,
            value ->> 7 as row_id
        from json_each($1)) i";

    /// Does nothing: statements have no limit of their own.
    async fn extend_time(&mut self) -> Result<(), sqlx::Error> {
        Ok(())
    }

    async fn known(&mut self, events: &[Event]) -> Result<Vec<bool>, sqlx::Error> {
        let keys: serde_json::Value =
            events.iter().map(|event| json!([event.id.simple().to_string(), event.business_id])).collect();
        let numbers: Vec<i64> = sqlx::query_scalar(KNOWN).bind(keys.to_string()).fetch_all(self).await?;
        let mut known = vec![false; events.len()];
        for number in numbers {
            let place = usize::try_from(number).ok().and_then(|n| known.get_mut(n));
            *place.expect("the number is of an event") = true;
        }
        Ok(known)
    }

    /// Returns the rows: SQLite has one writer at a time.
    async fn lock_foreign(&mut self, rows: &[i64]) -> Result<Vec<(i64, bool)>, sqlx::Error> {
        const COUNTED: &str =
            "select id, event_id is not null from ai_metrics where id in (select value from json_each($1))";
        sqlx::query_as(COUNTED).bind(json!(rows).to_string()).fetch_all(self).await
    }

    async fn claim(&mut self, row: i64, event: &Event) -> Result<(), sqlx::Error> {
        let claim = sqlx::query("update ai_metrics set event_id = $1 where id = $2").bind(event.id).bind(row);
        claim.execute(self).await.map(drop)
    }

    async fn insert(
        &mut self,
        events: &[Event],
        claimed: &[i64],
        appraisal: Appraisal<'_>,
    ) -> Result<Vec<bool>, sqlx::Error> {
        let newest: i64 = sqlx::query_scalar(NEWEST).fetch_one(&mut *self).await?;
        let outcomes = insert_new(self, events, newest).await?;
        let new: Vec<bool> = outcomes.iter().map(|outcome| *outcome == WriteOutcome::Counted).collect();
        // At once, so that a service that runs has no backlog to digest, for which its own events would wait.
        let digested = events.iter().zip(&new).filter(|(_, is_new)| **is_new).map(|(event, _)| event);
        digest::add(self, appraisal.digest(digested)).await?;
        if !claimed.is_empty() {
            // No row is newer than this.
            let leave = sqlx::query(LEAVE_TO_DIGEST).bind(i64::MAX).bind(json!(claimed).to_string());
            leave.execute(self).await?;
        }
        Ok(new)
    }

    async fn remember(&mut self, events: &[Event], now: DateTime<Utc>) -> Result<Vec<bool>, sqlx::Error> {
        const ADD: &str = "insert into mlops_counted_events (event_id, business_id, at) values ($1, $2, $3)";
        let mut new = Vec::with_capacity(events.len());
        for event in events {
            let is_new = !counted_only::is_counted(self, event).await?;
            if is_new {
                let add = sqlx::query(ADD).bind(event.id).bind(&event.business_id).bind(now);
                add.execute(&mut *self).await?;
            }
            new.push(is_new);
        }
        Ok(new)
    }
}
