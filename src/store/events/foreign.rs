//! Rows that another program inserted into `ai_metrics`. The receptionist app does so just before it calls
//! `/track`, so a young row is usually an event that is about to be reported.
//!
//! Such a row has no `event_id`. Counting it here gives it one that is made from its `id` and tells whether the row
//! was young: `/track` may still claim a young one, which then gets the event's own id and is not counted again.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use sqlx::{AssertSqlSafe, FromRow};
use uuid::Uuid;

use crate::event::Event;
use crate::rollup::Rollup;
use crate::store::rollups::AddRollup;
use crate::store::{CLAIM_MINUTES, Store, StoreError, WRITE_LIMIT, dialect};

/// Rows that are counted in one transaction.
const CHUNK: i64 = 2_000;

/// A row that another program inserted.
#[derive(FromRow)]
pub(in crate::store) struct ForeignRow {
    business_id: String,
    response_time_ms: i32,
    success_rate: f64,
    tokens_used: i32,
    prompt_tokens: Option<i32>,
    completion_tokens: Option<i32>,
    cost_micros: i64,
    model_name: String,
    intent_detected: String,
    response_type: String,
    appointment_requested: bool,
    appointment_booked: bool,
    human_handoff_requested: bool,
    created_at: Option<NaiveDateTime>,
}

impl ForeignRow {
    /// The row as an event. Nothing checked the row, and a counter must not go down, so amounts below zero count as
    /// zero; a row without a time counts as of `now`.
    pub(in crate::store) fn into_event(self, now: DateTime<Utc>) -> Event {
        Event {
            id: Uuid::nil(),
            named: false,
            at: self.created_at.map_or(now, |at| at.and_utc()),
            business_id: self.business_id,
            conversation_id: None,
            session_id: String::new(),
            response_time_ms: self.response_time_ms.max(0),
            success_rate: Some(self.success_rate.clamp(0.0, 1.0)),
            tokens_used: self.tokens_used.max(0),
            prompt_tokens: self.prompt_tokens.map(|tokens| tokens.max(0)),
            completion_tokens: self.completion_tokens.map(|tokens| tokens.max(0)),
            cost_micros: self.cost_micros.max(0),
            model_name: self.model_name,
            intent_detected: self.intent_detected,
            response_type: self.response_type,
            appointment_requested: self.appointment_requested,
            appointment_booked: self.appointment_booked,
            human_handoff_requested: self.human_handoff_requested,
            user_message_length: 0,
            ai_response_length: 0,
        }
    }
}

/// The last of the rows to be counted next, and how many they are. An update of everything up to it needs no join,
/// which a planner that expects hardly any such row would make quadratic.
const NEXT: &str = "select count(*), cast(max(id) as bigint) from (select id from ai_metrics where event_id is null order by id limit $1) next";

impl Store {
    /// Counts some of the rows that no rollup holds yet; says whether more may be left.
    pub async fn count_foreign_rows(&self, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let claimable_from = (now - TimeDelta::minutes(CLAIM_MINUTES)).naive_utc();
        on!(&self.write, WRITE_LIMIT, |conn| {
            let mut tx = dialect::begin(conn).await?;
            let next: (i64, Option<i64>) = sqlx::query_as(NEXT).bind(CHUNK).fetch_one(&mut *tx).await?;
            let (due, Some(last)) = next else { return Ok(false) };
            let rows: Vec<ForeignRow> = sqlx::query_as(AssertSqlSafe(count_up_to(&tx)))
                .bind(claimable_from)
                .bind(last)
                .fetch_all(&mut *tx)
                .await?;
            let events: Vec<Event> = rows.into_iter().map(|row| row.into_event(now)).collect();
            tx.add_rollup(&Rollup::of(&events, self.zone)).await?;
            tx.commit().await?;
            Ok(due == CHUNK)
        })
    }
}

/// The statement that marks rows up to the id `$2` as counted and gives back what they hold.
fn count_up_to<DB: dialect::Dialect>(_: &sqlx::Transaction<'_, DB>) -> String {
    count_sql::<DB>("id <= $2")
}

/// The statement that marks the uncounted rows for which `condition` holds as counted, and gives back what they hold.
/// `$1` is the time from which on a row may still be claimed.
pub(in crate::store) fn count_sql<DB: dialect::Dialect>(condition: &str) -> String {
    format!(
        "update ai_metrics set event_id = {} where event_id is null and {condition} returning {}",
        DB::FOREIGN_ID,
        DB::FOREIGN_VALUES
    )
}
