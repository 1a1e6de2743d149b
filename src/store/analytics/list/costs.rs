//! The counted costs of every business.
//!
//! They are sums over all rollups of the days: over 30 days of 1,000 businesses, 120,000 rows. Those of days before today stay in memory, which
//! leaves their mark and the costs of today to read, found by the indexes on days.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use super::answers::MARKED;
use super::{FIRST, ListRead};
use crate::store::analytics::cache::{Content, FiguresCache, Key};
use crate::store::analytics::fetch::Fetch;
use crate::store::analytics::{DayRange, Figures};
use crate::store::rollups::analytics::summed;

/// The counted costs of every business.
const COSTS: &str = "select business_id, cast(sum(nanos) as bigint)
    from (
        select business_id, cost_micros * 1000 as nanos from ai_rollup_daily_now
        where business_id > $1 and day between $2 and $3
        union all
        select business_id, filled_nanos from mlops_cost_daily where business_id > $1 and day between $2 and $3
    ) costs group by business_id";

/// A text that changes when the costs of days before `$2` do. Every answer is in the totals as well as on its day, and so is its computed cost, and
/// these only grow: the totals without those of later days tell of all earlier days.
static MARK: LazyLock<String> = LazyLock::new(|| {
    let before = MARKED.map(|column| format!("(total.{column} - later.{column})")).join(" || ' ' || ");
    let sums = summed(&MARKED);
    format!(
        "select {before} || ' ' || (computed.amount - computed_later.computed_nanos) from
            (select {sums} from ai_totals_now where business_id > $1) total,
            (select {sums} from ai_rollup_daily_now where business_id > $1 and day >= $2) later,
            (select {} from mlops_fact_totals where business_id > $1 and kind = 'computed_nanos') computed,
            (select {} from mlops_cost_daily where business_id > $1 and day >= $2) computed_later",
        summed(&["amount"]),
        summed(&["computed_nanos"]),
    )
});

/// Returns the counted cost of every business over the days of the list, in billionths of a US dollar.
pub(super) async fn read<C: Fetch>(
    conn: &mut C,
    cache: &FiguresCache,
    query: ListRead,
) -> Result<BTreeMap<String, i64>, sqlx::Error> {
    let (closed, open) = query.days.parted(query.today);
    let mut figures = Figures::default();
    if !closed.is_empty() {
        let key = Key { business_id: FIRST.to_owned(), days: closed, what: Content::CostsOfAll };
        let marks: Vec<(String,)> = conn.fetch(MARK.as_str(), FIRST, &[query.today]).await?;
        let mark = marks.into_iter().next().map(|(mark,)| mark).unwrap_or_default();
        if let Some(cached) = cache.get(&key, &mark) {
            figures.add(&cached);
        } else {
            conn.extend_timeout().await?;
            let read = Arc::new(costs(conn, closed).await?);
            figures.add(&read);
            cache.put(key, mark, read);
        }
    }
    if !open.is_empty() {
        figures.add(&costs(conn, open).await?);
    }
    let mut by_id: BTreeMap<String, i64> = BTreeMap::new();
    for ((_, id), nanos) in figures.parted_costs {
        *by_id.entry(id).or_default() += nanos;
    }
    Ok(by_id)
}

async fn costs<C: Fetch>(conn: &mut C, days: DayRange) -> Result<Figures, sqlx::Error> {
    let rows: Vec<(String, i64)> = conn.fetch(COSTS, FIRST, &[days.from, days.to]).await?;
    let costs = rows.into_iter().map(|(id, nanos)| ((days.to, id), nanos));
    Ok(Figures { parted_costs: costs.collect(), ..Figures::default() })
}
