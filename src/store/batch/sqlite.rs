//! The batch on SQLite: few prepared statements in one transaction.

use chrono::NaiveDateTime;
use chrono_tz::Tz;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::{Outcome, Written, claimable_from, written};
use crate::event::Event;
use crate::store::dialect;
use crate::store::rollups::AddRollup;
use crate::store::rows::{Insert, SqliteQuery};

/// Whether any foreign row may be claimed at all; on most installations there is never one.
const ANY_CLAIMABLE: &str = "select exists (select 1 from ai_metrics where event_id is null
    or event_id between x'00000000000080008000000000000000' and x'00000000000080008000ffffffffffff')";

const CLAIMABLE: &str = "select id, event_id from ai_metrics
    where (event_id is null
           or event_id between x'00000000000080008000000000000000' and x'00000000000080008000ffffffffffff')
      and business_id = $1 and session_id = $2 and response_time_ms = $3 and tokens_used = $4 and created_at > $5
    order by id limit 1";

static EVENTS: Insert = Insert::new(
    "insert into ai_metrics (event_id, business_id, conversation_id, session_id, response_time_ms, success_rate,
        tokens_used, prompt_tokens, completion_tokens, api_cost_usd, model_name, intent_detected, response_type,
        appointment_requested, appointment_booked, human_handoff_requested, user_message_length,
        ai_response_length, created_at)",
    "(?, ?, ?, ?, ?, ? / 10000.0, ?, ?, ?, ? / 1000000.0, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    " on conflict (event_id) do nothing",
);

/// Writes the batch; see [`crate::store::Store::write`].
pub(super) async fn write(
    conn: &mut SqliteConnection,
    events: &[Event],
    zone: Tz,
) -> Result<Written, sqlx::Error> {
    match store_new(conn, events, zone).await? {
        Some(written) => Ok(written),
        None => reconcile(conn, events, zone).await,
    }
}

/// Stores events of which none is stored yet, in whatever form; or finds that one may be, and does nothing.
async fn store_new(
    conn: &mut SqliteConnection,
    events: &[Event],
    zone: Tz,
) -> Result<Option<Written>, sqlx::Error> {
    let mut tx = dialect::begin(conn).await?;
    let claimable: bool = sqlx::query_scalar(ANY_CLAIMABLE).fetch_one(&mut *tx).await?;
    if claimable || insert(&mut tx, events).await? < events.len() as u64 {
        tx.rollback().await?;
        return Ok(None);
    }
    let written = written(events, vec![Outcome::Counted; events.len()], zone);
    tx.add_rollup(&written.rollup).await?;
    tx.commit().await?;
    Ok(Some(written))
}

/// Writes events of which some may be stored, one by one.
async fn reconcile(conn: &mut SqliteConnection, events: &[Event], zone: Tz) -> Result<Written, sqlx::Error> {
    let mut tx = dialect::begin(conn).await?;
    let from = claimable_from(events);
    let mut outcomes = Vec::with_capacity(events.len());
    for event in events {
        let outcome = match claim(&mut tx, event, from).await? {
            Some(claimed) => claimed,
            None => insert_one(&mut tx, event).await?,
        };
        outcomes.push(outcome);
    }
    let written = written(events, outcomes, zone);
    tx.add_rollup(&written.rollup).await?;
    tx.commit().await?;
    Ok(written)
}

async fn insert_one(conn: &mut SqliteConnection, event: &Event) -> Result<Outcome, sqlx::Error> {
    let inserted = insert(conn, std::slice::from_ref(event)).await?;
    Ok(if inserted == 1 { Outcome::Counted } else { Outcome::Duplicate })
}

/// Gives the event's id to a foreign row that is this event, if there is one.
async fn claim(
    conn: &mut SqliteConnection,
    event: &Event,
    from: NaiveDateTime,
) -> Result<Option<Outcome>, sqlx::Error> {
    let known: bool = sqlx::query_scalar("select exists (select 1 from ai_metrics where event_id = $1)")
        .bind(event.id)
        .fetch_one(&mut *conn)
        .await?;
    if known {
        return Ok(Some(Outcome::Duplicate));
    }
    let row: Option<(i64, Option<Uuid>)> = sqlx::query_as(CLAIMABLE)
        .bind(&event.business_id)
        .bind(&event.session_id)
        .bind(event.response_time_ms)
        .bind(event.tokens_used)
        .bind(from)
        .fetch_optional(&mut *conn)
        .await?;
    let Some((id, counted)) = row else { return Ok(None) };
    let claim = sqlx::query("update ai_metrics set event_id = $1 where id = $2").bind(event.id).bind(id);
    claim.execute(conn).await?;
    Ok(Some(if counted.is_some() { Outcome::Claimed } else { Outcome::Counted }))
}

/// Inserts those of the events whose ids are new; gives how many they are.
async fn insert(conn: &mut SqliteConnection, events: &[Event]) -> Result<u64, sqlx::Error> {
    EVENTS.run(conn, events, bind_event).await
}

fn bind_event<'q>(query: SqliteQuery<'q>, event: &'q Event) -> SqliteQuery<'q> {
    query
        .bind(event.id)
        .bind(&event.business_id)
        .bind(&event.conversation_id)
        .bind(&event.session_id)
        .bind(event.response_time_ms)
        .bind(event.success_e4())
        .bind(event.tokens_used)
        .bind(event.prompt_tokens)
        .bind(event.completion_tokens)
        .bind(event.cost_micros)
        .bind(&event.model_name)
        .bind(&event.intent_detected)
        .bind(&event.response_type)
        .bind(event.appointment_requested)
        .bind(event.appointment_booked)
        .bind(event.human_handoff_requested)
        .bind(event.user_message_length)
        .bind(event.ai_response_length)
        .bind(event.at.naive_utc())
}
