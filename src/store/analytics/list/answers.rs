//! The sums over answers, and the response times, of listed businesses.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use chrono::NaiveDate;
use serde_json::json;

use super::{ListRead, ListedBusiness, of_them};
use crate::store::analytics::cache::{Content, FiguresCache, Key};
use crate::store::analytics::fetch::{Fetch, Keyed};
use crate::store::analytics::{Day, DayRange, Figures};
use crate::store::privacy::Rows;
use crate::store::rollups::analytics::{Summary, answer_columns, summed};

/// The sums over answers of the listed businesses, without the list.
static LISTED_ANSWERS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select business_id, {} from (
            select business_id, {} from ai_rollup_daily_now where day between $2 and $3 and business_id",
        summed(Summary::COLUMNS),
        answer_columns()
    )
});

/// The response times of the listed businesses, without the list.
const LISTED_LATENCIES: &str = "select business_id, bucket, cast(sum(events) as bigint)
    from ai_latency_daily_now where day between $2 and $3 and business_id";

/// The sums that tell whether those of a business changed.
pub(super) const MARKED: [&str; 4] = ["events", "response_time_ms", "tokens", "cost_micros"];

/// A business and its sums of [`MARKED`].
type Marked = (String, i64, i64, i64, i64);

/// Reads the figures of these businesses, in their order: those of the days before today from memory, if they have not changed since they were read.
pub(super) async fn listed<C: Fetch + Rows>(
    conn: &mut C,
    cache: &FiguresCache,
    ids: Vec<String>,
    query: ListRead,
) -> Result<Vec<ListedBusiness>, sqlx::Error> {
    let (closed, open) = query.days.parted(query.today);
    let mut by_id = read(conn, &ids, open).await?;
    if !closed.is_empty() {
        for (id, figures) in closed_figures(conn, cache, &ids, closed, query).await? {
            let business = by_id.entry(id).or_default();
            for day in figures.days.values() {
                business.answers += day.answers;
            }
            business.latencies.merge(&figures.latencies);
        }
    }
    let in_order = ids.into_iter().map(|business_id| {
        let figures = by_id.remove(&business_id).unwrap_or_default();
        ListedBusiness { business_id, ..figures }
    });
    Ok(in_order.collect())
}

/// Returns the figures of days before today, from memory where they have not changed since they were read.
async fn closed_figures<C: Fetch + Rows>(
    conn: &mut C,
    cache: &FiguresCache,
    ids: &[String],
    closed: DayRange,
    query: ListRead,
) -> Result<Vec<(String, Arc<Figures>)>, sqlx::Error> {
    let marks = marks(conn, ids, query.today).await?;
    let key = |id: &String| Key { business_id: id.clone(), days: closed, what: Content::Listed };
    let mark = |id: &String| marks.get(id).cloned().unwrap_or_default();
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for id in ids {
        match cache.get(&key(id), &mark(id)) {
            Some(figures) => found.push((id.clone(), figures)),
            None => missing.push(id.clone()),
        }
    }
    if missing.is_empty() {
        return Ok(found);
    }
    conn.extend_timeout().await?;
    let mut read = read(conn, &missing, closed).await?;
    for id in missing {
        let business = read.remove(&id).unwrap_or_default();
        let day = Day { answers: business.answers, ..Day::default() };
        let figures = Arc::new(Figures {
            days: BTreeMap::from([(closed.to, day)]),
            latencies: business.latencies,
            ..Figures::default()
        });
        cache.put(key(&id), mark(&id), figures.clone());
        found.push((id, figures));
    }
    Ok(found)
}

/// Reads the sums over answers, and the response times, of these businesses.
async fn read<C: Fetch + Rows>(
    conn: &mut C,
    ids: &[String],
    days: DayRange,
) -> Result<BTreeMap<String, ListedBusiness>, sqlx::Error> {
    let mut by_id: BTreeMap<String, ListedBusiness> = BTreeMap::new();
    if days.is_empty() {
        return Ok(by_id);
    }
    let (list, bounds) = (json!(ids).to_string(), [days.from, days.to]);
    let answers = of_them(&LISTED_ANSWERS, &C::any_text(1), ") answers group by business_id");
    for Keyed(id, sums) in conn.fetch::<Keyed<String, Summary>>(answers, &list, &bounds).await? {
        by_id.entry(id).or_default().answers = sums;
    }
    let latencies = of_them(LISTED_LATENCIES, &C::any_text(1), " group by business_id, bucket");
    for (id, bucket, events) in conn.fetch::<(String, i16, i64)>(latencies, &list, &bounds).await? {
        by_id.entry(id).or_default().latencies.add(bucket, events);
    }
    Ok(by_id)
}

/// Returns, for each of these businesses, a text that changes when the sums over answers of days before `today` do. Every answer is in
/// the totals as well as on its day.
async fn marks<C: Fetch + Rows>(
    conn: &mut C,
    ids: &[String],
    today: NaiveDate,
) -> Result<BTreeMap<String, String>, sqlx::Error> {
    let sums = summed(&MARKED);
    let of = |from: &str| format!("select business_id, {sums} from {from} business_id");
    let list = json!(ids).to_string();
    let later =
        of_them(&of("ai_rollup_daily_now where day >= $2 and"), &C::any_text(1), " group by business_id");
    let later: Vec<Marked> = conn.fetch(later, &list, &[today]).await?;
    let later: BTreeMap<String, Marked> =
        later.into_iter().map(|marked| (marked.0.clone(), marked)).collect();
    let totals = of_them(&of("ai_totals_now where"), &C::any_text(1), " group by business_id");
    let totals: Vec<Marked> = conn.fetch(totals, &list, &[]).await?;
    let mark = |total: Marked| {
        let (_, events, response_time_ms, tokens, cost_micros) =
            later.get(&total.0).cloned().unwrap_or_default();
        let before = [total.1 - events, total.2 - response_time_ms, total.3 - tokens, total.4 - cost_micros];
        (total.0, format!("{before:?}"))
    };
    Ok(totals.into_iter().map(mark).collect())
}
