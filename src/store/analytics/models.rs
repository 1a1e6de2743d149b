//! What the costliest models of a business cost each day.

use std::cmp::Reverse;
use std::sync::Arc;

use serde_json::json;
use sqlx::AssertSqlSafe;

use super::cache::{Content, FiguresCache, Key};
use super::fetch::Fetch;
use super::read::mark;
use super::statements::costs_of_models;
use super::{DayRange, Figures, FiguresQuery};
use crate::store::privacy::Rows;

/// Adds to `figures`, which have the models, what the costliest of them cost each day. Those of days before today come from memory, if they have
/// not changed since they were read.
pub(super) async fn add_costs<C: Fetch + Rows>(
    conn: &mut C,
    cache: &FiguresCache,
    query: &FiguresQuery<'_>,
    figures: &mut Figures,
) -> Result<(), sqlx::Error> {
    let models = costliest(figures, query.costliest);
    if models.is_empty() {
        return Ok(());
    }
    let models = json!(models).to_string();
    let (closed, open) = query.days.parted(query.today);
    if !closed.is_empty() {
        let key = Key { business_id: query.business_id.to_owned(), days: closed, what: Content::Models };
        // Other models may be the costliest by now.
        let mark = mark(conn, query, closed).await? + &models;
        if let Some(cached) = cache.get(&key, &mark) {
            figures.add(&cached);
        } else {
            let read = Arc::new(read(conn, query.business_id, &models, closed).await?);
            figures.add(&read);
            cache.put(key, mark, read);
        }
    }
    if !open.is_empty() {
        figures.add(&read(conn, query.business_id, &models, open).await?);
    }
    Ok(())
}

/// Returns the names of the models that cost most, at most `count`, in the order of their names; none that cost nothing.
fn costliest(figures: &Figures, count: usize) -> Vec<&str> {
    let costs = figures.models.iter().map(|(name, model)| (Reverse(model.counted_nanos()), name.as_str()));
    let mut costs: Vec<(Reverse<i64>, &str)> = costs.filter(|(Reverse(nanos), _)| *nanos > 0).collect();
    costs.sort_unstable();
    costs.truncate(count);
    let mut names: Vec<&str> = costs.into_iter().map(|(_, name)| name).collect();
    names.sort_unstable();
    names
}

async fn read<C: Fetch + Rows>(
    conn: &mut C,
    business_id: &str,
    models: &str,
    days: DayRange,
) -> Result<Figures, sqlx::Error> {
    let sql = AssertSqlSafe(costs_of_models(&C::any_text(2)));
    let rows = conn.fetch_some(sql, [business_id, models], &[days.from, days.to]).await?;
    let costs = rows.into_iter().map(|(day, model, nanos)| ((day, model), nanos));
    Ok(Figures { parted_costs: costs.collect(), ..Figures::default() })
}
