//! Writes a batch on Postgres if some of its events may be stored already, under their keys or as foreign rows. This is
//! rare, so it has statements of its own, which keeps that of the usual batch cheap.

use std::collections::HashMap;
use std::sync::LazyLock;

use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::arrays::{bind_events, event_rows, insert_events};
use super::postgres::from_claimable;
use super::{WriteOutcome, Written, claimable_from, count, is_counted_only, is_stored, rollup_of};
use crate::business::Profiles;
use crate::event::{Event, EventKey};
use crate::rollup::Rollup;
use crate::store::placeholders::Placeholders;
use crate::store::rollups::pending::Columns;

/// Claims foreign rows for events, and inserts the events that claimed none and are neither stored nor counted only.
///
/// - `counted_only`: events that are counted only.
/// - `waiting`: foreign rows that events may claim. Locking a row makes Postgres read it again if another replica has
///   just claimed or counted it.
/// - `novel`: events that match a row of `waiting` and are neither stored nor counted only.
/// - `paired`: pairs each event of `novel` with at most one row of `waiting`.
/// - `inserted`: a partitioned table has no index that tells of a conflict. There an event that another replica has just stored makes
///   the statement fail, and it is repeated.
static RECONCILE: LazyLock<String> = LazyLock::new(|| {
    let mut params = Placeholders::default();
    let rows = event_rows(&mut params);
    let from_claimable = from_claimable(&params.one());
    let insert_events = insert_events();
    let (is_stored, is_counted_only) = (is_stored("i"), is_counted_only("i"));
    format!(
        "with input as (
            select *, row_number() over () as n from {rows}
        ), counted_only as (
            select i.business_id, i.event_id from input i where {is_counted_only}
        ), waiting as (
            select i.*, m.id, m.event_id from {from_claimable}
        ), novel as (
            select * from input i
            where exists (select from waiting w where w.business_id = i.business_id and w.session_id = i.session_id
                          and w.response_time_ms = i.response_time_ms and w.tokens_used = i.tokens_used)
              and not {is_stored} and not {is_counted_only}
        ), paired as (
            select n.business_id, n.event_id, w.id, w.event_id is not null as counted
            from (select *, row_number() over (partition by business_id, session_id, response_time_ms, tokens_used
                                               order by n) as turn from novel) n
            join (select *, row_number() over (partition by business_id, session_id, response_time_ms, tokens_used
                                               order by id) as turn from waiting) w
            using (business_id, session_id, response_time_ms, tokens_used, turn)
        ), claimed as (
            update ai_metrics m set event_id = p.event_id from paired p where m.id = p.id
            returning p.business_id, m.event_id, p.counted, m.id
        ), inserted as (
            {insert_events} from input i
            where (business_id, event_id) not in (select business_id, event_id from paired)
              and (business_id, event_id) not in (select business_id, event_id from counted_only)
              and not {is_stored}
            on conflict do nothing
            returning business_id, event_id, id
        ), undigested as (
            insert into mlops_undigested (event_rows) select array_agg(cast(id as bigint)) from (
                select id from inserted union all select id from claimed where not counted) counted_now
            having count(*) > 0
        ) select business_id, event_id, false as counted from inserted
        union all select business_id, event_id, counted from claimed
        union all select business_id, event_id, null from counted_only"
    )
});

/// Writes the events; see [`crate::store::Store::write`]. Must run inside a transaction.
pub(super) async fn write(
    conn: &mut PgConnection,
    events: &[Event],
    profiles: &Profiles,
) -> Result<Written, sqlx::Error> {
    let all = Rollup::of(events, profiles);
    let query = bind_events(sqlx::query(RECONCILE.as_str()), &Columns::of(&all), events, profiles);
    let query = query.bind(claimable_from(events));
    let known =
        query.try_map(|row| <(String, Uuid, Option<bool>)>::from_row(&row)).fetch_all(&mut *conn).await?;
    let known: HashMap<EventKey, Option<bool>> =
        known.into_iter().map(|(business_id, id, counted)| (EventKey { business_id, id }, counted)).collect();
    let outcomes: Vec<_> = events.iter().map(|event| outcome(known.get(&event.key()))).collect();
    let counted = count(conn, rollup_of(events, &outcomes, profiles)).await?;
    Ok(Written { outcomes, counted })
}

/// Returns the outcome of an event for which the statement returned `counted_before`; `None` if it returned no row.
const fn outcome(counted_before: Option<&Option<bool>>) -> WriteOutcome {
    match counted_before {
        Some(Some(false)) => WriteOutcome::Counted,
        Some(Some(true)) => WriteOutcome::Claimed,
        Some(None) => WriteOutcome::CountedOnlyDuplicate,
        None => WriteOutcome::Duplicate,
    }
}
