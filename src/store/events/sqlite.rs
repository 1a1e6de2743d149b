//! Writes a batch on SQLite with a few prepared statements in one transaction.

use std::collections::HashSet;
use std::sync::LazyLock;

use chrono::NaiveDateTime;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::{WriteOutcome, Written, claimable_from, count, counted_only, rollup_of};
use crate::business::Profiles;
use crate::event::{COLUMNS, Column, Event, EventKey, Getter, e4, success_e4};
use crate::store::bulk_insert::{BulkInsert, SqliteQuery};
use crate::store::connection::write_queue::WriteQueue;

/// Selects whether there are foreign rows that may be claimed, whether any event is counted only (neither is the case
/// in most installations), the id of the newest row, and the `data_version`, which changes when another connection has
/// written to the file.
const STATE: &str = "select exists (select 1 from ai_metrics where event_id is null
        or event_id between x'00000000000080008000000000000000' and x'00000000000080008000ffffffffffff'),
    exists (select 1 from mlops_counted_events), coalesce((select max(id) from ai_metrics), 0),
    (select data_version from pragma_data_version)";

/// Has the rows with an id above `$1`, and those in the JSON list `$2`, be digested.
pub(super) const LEAVE_TO_DIGEST: &str = "insert into mlops_undigested (event_rows)
    select json_group_array(id) from ai_metrics where id > $1 or id in (select value from json_each($2))";

const CLAIMABLE: &str = "select id, event_id from ai_metrics
    where (event_id is null
           or event_id between x'00000000000080008000000000000000' and x'00000000000080008000ffffffffffff')
      and business_id = $1 and session_id = $2 and response_time_ms = $3 and tokens_used = $4 and created_at > $5
    order by id limit 1";

static EVENTS: LazyLock<BulkInsert> = LazyLock::new(|| {
    let value = |column: &Column| match column.get {
        Getter::SuccessRate(_) | Getter::Rating(_) => "? / 10000.0",
        Getter::Usd(_) => "? / 1000000.0",
        _ => "?",
    };
    let columns = COLUMNS.iter().map(|column| (column.name, value(column)));
    BulkInsert::new("ai_metrics", columns, " on conflict (business_id, event_id) do nothing")
});

/// Writes the batch. Must run inside a transaction.
pub(super) async fn write_in(
    conn: &mut SqliteConnection,
    events: &[Event],
    profiles: &Profiles,
    queue: Option<&WriteQueue>,
) -> Result<Written, sqlx::Error> {
    let (claimable, counted_only, newest, version): (bool, bool, i64, i64) =
        sqlx::query_as(STATE).fetch_one(&mut *conn).await?;
    if let Some(queue) = queue {
        queue.record_version(version);
    }
    let counted_only = counted_only && events.iter().any(|event| event.named);
    let (outcomes, claimed) = match claimable || counted_only {
        true => reconcile(conn, events, counted_only).await?,
        false => (insert_new(conn, events, newest).await?, Vec::new()),
    };
    let counted = count(conn, rollup_of(events, &outcomes, profiles)).await?;
    if outcomes.contains(&WriteOutcome::Counted) {
        let claimed = serde_json::json!(claimed).to_string();
        sqlx::query(LEAVE_TO_DIGEST).bind(newest).bind(claimed).execute(conn).await?;
    }
    Ok(Written { outcomes, counted })
}

/// Writes events that cannot claim foreign rows and are not counted only. `newest` is the id of the newest row.
pub(super) async fn insert_new(
    conn: &mut SqliteConnection,
    events: &[Event],
    newest: i64,
) -> Result<Vec<WriteOutcome>, sqlx::Error> {
    const NEW: &str = "select business_id, event_id from ai_metrics where id > $1";
    if insert(conn, events).await? == events.len() as u64 {
        return Ok(vec![WriteOutcome::Counted; events.len()]);
    }
    let new: Vec<(String, Uuid)> = sqlx::query_as(NEW).bind(newest).fetch_all(conn).await?;
    let new: HashSet<EventKey> =
        new.into_iter().map(|(business_id, id)| EventKey { business_id, id }).collect();
    let outcome = |event: &Event| {
        if new.contains(&event.key()) { WriteOutcome::Counted } else { WriteOutcome::Duplicate }
    };
    Ok(events.iter().map(outcome).collect())
}

/// Writes events one by one, if some of them may claim foreign rows or be counted only. Also returns the ids of the rows that were claimed
/// before they were counted.
async fn reconcile(
    conn: &mut SqliteConnection,
    events: &[Event],
    counted_only: bool,
) -> Result<(Vec<WriteOutcome>, Vec<i64>), sqlx::Error> {
    let from = claimable_from(events);
    let (mut outcomes, mut claimed) = (Vec::with_capacity(events.len()), Vec::new());
    for event in events {
        if counted_only && event.named && counted_only::is_counted(conn, event).await? {
            outcomes.push(WriteOutcome::CountedOnlyDuplicate);
            continue;
        }
        outcomes.push(match claim(conn, event, from).await? {
            Some((outcome, row)) => {
                claimed.extend(row.filter(|_| outcome == WriteOutcome::Counted));
                outcome
            }
            None => insert_one(conn, event).await?,
        });
    }
    Ok((outcomes, claimed))
}

async fn insert_one(conn: &mut SqliteConnection, event: &Event) -> Result<WriteOutcome, sqlx::Error> {
    let inserted = insert(conn, std::slice::from_ref(event)).await?;
    Ok(if inserted == 1 { WriteOutcome::Counted } else { WriteOutcome::Duplicate })
}

/// Claims a foreign row for the event. Returns the outcome, with the `id` of the row that was claimed; `None` if there is no such row and
/// the event must be inserted.
async fn claim(
    conn: &mut SqliteConnection,
    event: &Event,
    from: NaiveDateTime,
) -> Result<Option<(WriteOutcome, Option<i64>)>, sqlx::Error> {
    if is_stored(conn, event).await? {
        return Ok(Some((WriteOutcome::Duplicate, None)));
    }
    let Some((id, counted)) = claimable(conn, event, from).await? else { return Ok(None) };
    let claim = sqlx::query("update ai_metrics set event_id = $1 where id = $2").bind(event.id).bind(id);
    claim.execute(conn).await?;
    Ok(Some((if counted.is_some() { WriteOutcome::Claimed } else { WriteOutcome::Counted }, Some(id))))
}

/// Returns whether the row of the event is stored.
pub(super) async fn is_stored(conn: &mut SqliteConnection, event: &Event) -> Result<bool, sqlx::Error> {
    let stored = "select exists (select 1 from ai_metrics where business_id = $1 and event_id = $2)";
    sqlx::query_scalar(stored).bind(&event.business_id).bind(event.id).fetch_one(conn).await
}

/// Returns the `id` of the foreign row that the event may claim, with its `event_id` if it was already counted.
pub(super) async fn claimable(
    conn: &mut SqliteConnection,
    event: &Event,
    from: NaiveDateTime,
) -> Result<Option<(i64, Option<Uuid>)>, sqlx::Error> {
    sqlx::query_as(CLAIMABLE)
        .bind(&event.business_id)
        .bind(&event.session_id)
        .bind(event.response_time_ms)
        .bind(event.tokens_used)
        .bind(from)
        .fetch_optional(conn)
        .await
}

/// Inserts the events whose keys are new. Returns their number.
async fn insert(conn: &mut SqliteConnection, events: &[Event]) -> Result<u64, sqlx::Error> {
    EVENTS.run(conn, events, bind_event).await
}

fn bind_event<'q>(query: SqliteQuery<'q>, event: &'q Event) -> SqliteQuery<'q> {
    COLUMNS.iter().fold(query, |query, column| match column.get {
        Getter::Id(get) => query.bind(get(event)),
        Getter::Text(get) => query.bind(get(event)),
        Getter::Int(get) => query.bind(get(event)),
        Getter::SuccessRate(get) => query.bind(success_e4(get(event).copied())),
        Getter::Rating(get) => query.bind(get(event).copied().map(e4)),
        Getter::Usd(get) => query.bind(get(event)),
        Getter::Flag(get) => query.bind(get(event)),
        Getter::Time(get) => query.bind(get(event).naive_utc()),
    })
}
