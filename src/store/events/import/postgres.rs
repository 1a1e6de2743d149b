//! Importing on Postgres: one statement for the rows of a batch, whatever its size.

use std::collections::HashSet;
use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::super::arrays::{bind_whole_events, column, insert_events, whole_event_rows};
use super::super::postgres::CLAIMABLE;
use super::super::{FOUND, place_of};
use super::ImportRows;
use crate::event::{Event, EventKey};
use crate::store::digest::Appraisal;
use crate::store::placeholders::Placeholders;

/// The number of rows that are left to be digested together: a batch of an import has more of them than one transaction should digest.
const DIGESTED_TOGETHER: u32 = 1_000;

/// Inserts events of which none is stored. If another session stores one of them in the meantime, the unique index makes the statement fail,
/// and the batch is written again: `on conflict` would slow down all others.
static INSERT: LazyLock<String> = LazyLock::new(|| {
    let mut params = Placeholders::default();
    let (rows, insert_events, claimed) = (whole_event_rows(&mut params), insert_events(), params.one());
    format!(
        "with inserted as (
            {insert_events} from {rows} returning id
        ) insert into mlops_undigested (event_rows) select array_agg(id) from (
            select id, row_number() over (order by id) / {DIGESTED_TOGETHER} as part from (
                select cast(id as bigint) as id from inserted union all select unnest({claimed}::bigint[])) all_rows
        ) counted_now group by part"
    )
});

/// In ascending order, so that two sessions do not deadlock.
const REMEMBER: &str = "insert into mlops_counted_events (event_id, business_id, at)
    select event_id, business_id, $3 from unnest($1::uuid[], $2::text[]) i(event_id, business_id)
    order by event_id, business_id
    on conflict (event_id, business_id) do nothing returning business_id, event_id";

static LOCK_FOREIGN: LazyLock<String> = LazyLock::new(|| {
    let is_foreign = PgConnection::IS_FOREIGN;
    format!(
        "select cast(id as bigint), event_id is not null from ai_metrics m
         where id = any($1) and {is_foreign} order by id for update"
    )
});

impl ImportRows for PgConnection {
    const IS_FOREIGN: &'static str = "(m.event_id is null
        or m.event_id between '00000000-0000-8000-8000-000000000000' and '00000000-0000-8001-8000-ffffffffffff')";
    const IS_CLAIMABLE: &'static str = CLAIMABLE;
    const LOOKUPS: &'static str = "(select cast(e ->> 0 as bigint) as n, e ->> 1 as business_id, e ->> 2 as session_id,
            cast(e ->> 3 as integer) as response_time_ms, cast(e ->> 4 as integer) as tokens_used,
            cast(e ->> 5 as timestamp) as since, cast(e ->> 6 as timestamp) as until, cast(e ->> 7 as bigint) as row_id
        from json_array_elements(cast($1 as json)) e) i";

    async fn extend_time(&mut self) -> Result<(), sqlx::Error> {
        const SQL: &str = "select set_config('statement_timeout', '8s', true)";
        sqlx::query(SQL).execute(self).await.map(drop)
    }

    async fn known(&mut self, events: &[Event]) -> Result<Vec<bool>, sqlx::Error> {
        let query = sqlx::query_scalar(FOUND.as_str())
            .bind(column(events, |event| event.id))
            .bind(column(events, |event| event.business_id.as_str()));
        let numbers: Vec<i64> = query.fetch_all(self).await?;
        let mut known = vec![false; events.len()];
        for number in numbers {
            known[place_of(number)] = true;
        }
        Ok(known)
    }

    async fn lock_foreign(&mut self, rows: &[i64]) -> Result<Vec<(i64, bool)>, sqlx::Error> {
        sqlx::query_as(LOCK_FOREIGN.as_str()).bind(rows).fetch_all(self).await
    }

    async fn claim(&mut self, row: i64, event: &Event) -> Result<(), sqlx::Error> {
        let claim = sqlx::query("update ai_metrics set event_id = $1 where id = $2").bind(event.id).bind(row);
        claim.execute(self).await.map(drop)
    }

    async fn insert(
        &mut self,
        events: &[Event],
        claimed: &[i64],
        _: Appraisal<'_>,
    ) -> Result<Vec<bool>, sqlx::Error> {
        if events.is_empty() && claimed.is_empty() {
            return Ok(Vec::new());
        }
        bind_whole_events(sqlx::query(INSERT.as_str()), events).bind(claimed).execute(self).await?;
        Ok(vec![true; events.len()])
    }

    async fn remember(&mut self, events: &[Event], now: DateTime<Utc>) -> Result<Vec<bool>, sqlx::Error> {
        let query = sqlx::query_as(REMEMBER)
            .bind(column(events, |event| event.id))
            .bind(column(events, |event| event.business_id.as_str()))
            .bind(now);
        let new: Vec<(String, Uuid)> = query.fetch_all(self).await?;
        Ok(are_among(events, new))
    }
}

/// Returns for each event whether its key is among these.
fn are_among(events: &[Event], keys: impl IntoIterator<Item = (String, Uuid)>) -> Vec<bool> {
    let keys: HashSet<EventKey> =
        keys.into_iter().map(|(business_id, id)| EventKey { business_id, id }).collect();
    events.iter().map(|event| keys.contains(&event.key())).collect()
}
