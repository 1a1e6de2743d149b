//! Foreign rows (see `../foreign.rs`) that are the same events as those of an import.

use std::collections::{HashMap, HashSet};

use chrono::{NaiveDateTime, TimeDelta};
use serde_json::json;

use super::{ImportRows, Imports};
use crate::event::Event;
use crate::store::CLAIM_MINUTES;

/// A foreign row that is the same event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// The `id` of the row.
    pub(super) row: i64,
    /// Whether it is counted.
    pub(super) counted: bool,
}

/// Finds a foreign row for each event that is not known: the same in what both tell of it, created within [`CLAIM_MINUTES`] of the
/// event, and for one event only. Rows that are too old for `/track` to claim are found by the `id` that the row of the event had in its
/// table: it comes from an export of this one.
pub(super) async fn find<C: ImportRows>(
    conn: &mut C,
    imports: Imports<'_>,
    known: &[bool],
) -> Result<Vec<Option<Found>>, sqlx::Error> {
    let mut found = vec![None; known.len()];
    if !has_any(conn).await? {
        return Ok(found);
    }
    let alike = "m.business_id = i.business_id and m.session_id = i.session_id and m.response_time_ms = i.response_time_ms
        and m.tokens_used = i.tokens_used and m.created_at >= i.since and m.created_at <= i.until";
    let (claimable, foreign, lookups) = (C::IS_CLAIMABLE, C::IS_FOREIGN, C::LOOKUPS);
    let sql = format!(
        "select i.n, cast(m.id as bigint), m.event_id is not null from {lookups}
            join ai_metrics m on ({claimable}) and {alike}
         union
         select i.n, cast(m.id as bigint), m.event_id is not null from {lookups}
            join ai_metrics m on m.id = i.row_id and ({foreign}) and {alike}
         order by 1, 2"
    );
    let candidates: Vec<(i64, i64, bool)> = conn.rows(sql, lookups_of(imports, known)).await?;
    let mut taken = HashSet::new();
    for (n, row, counted) in candidates {
        let Some(place) = usize::try_from(n).ok().and_then(|n| found.get_mut(n)) else { continue };
        if place.is_none() && taken.insert(row) {
            *place = Some(Found { row, counted });
        }
    }
    Ok(found)
}

/// Whether there is any foreign row, which is not the case in most installations.
async fn has_any<C: ImportRows>(conn: &mut C) -> Result<bool, sqlx::Error> {
    // The parameter makes it a query with one, as all are.
    let sql = format!(
        "select cast(count(*) as bigint) from (select 1 as one from ai_metrics m where {} and $1 <> '' limit 1) one",
        C::IS_FOREIGN
    );
    let any: Vec<(i64,)> = conn.rows(sql, "-".to_owned()).await?;
    Ok(any.first().is_some_and(|(rows,)| *rows > 0))
}

/// Returns what to look for, as a JSON array.
fn lookups_of(Imports { events, row_ids }: Imports<'_>, known: &[bool]) -> String {
    let text = |at: NaiveDateTime| at.format("%Y-%m-%d %H:%M:%S%.6f").to_string();
    let within = TimeDelta::minutes(CLAIM_MINUTES);
    let lookups = events.iter().zip(row_ids).enumerate().filter(|(n, _)| !known[*n]);
    let lookups = lookups.map(|(n, (event, row_id))| {
        let at = event.at.naive_utc();
        let Event { business_id, session_id, response_time_ms, tokens_used, .. } = event;
        let (since, until) = (text(at - within), text(at + within));
        json!([n, business_id, session_id, response_time_ms, tokens_used, since, until, row_id])
    });
    lookups.collect::<serde_json::Value>().to_string()
}

/// Locks the rows that were found. Another session may have counted or claimed one in the meantime: it is counted then, and what claimed it
/// is the same event.
pub(super) async fn lock<C: ImportRows>(
    conn: &mut C,
    found: &mut [Option<Found>],
) -> Result<(), sqlx::Error> {
    let mut rows: Vec<i64> = found.iter().flatten().map(|found| found.row).collect();
    if rows.is_empty() {
        return Ok(());
    }
    rows.sort_unstable();
    let counted: HashMap<i64, bool> = conn.lock_foreign(&rows).await?.into_iter().collect();
    for found in found.iter_mut().flatten() {
        found.counted = counted.get(&found.row).copied().unwrap_or(true);
    }
    Ok(())
}

/// Deletes rows of events that are not kept.
pub(super) async fn remove<C: ImportRows>(conn: &mut C, rows: &[i64]) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let list = rows.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let sql = format!("delete from ai_metrics where $1 <> '' and id in ({list})");
    conn.run_json(sql, "-".to_owned()).await.map(drop)
}
