//! What only pages show of listed businesses.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde_json::json;

use super::{ListedBusiness, of_them};
use crate::store::analytics::DayRange;
use crate::store::analytics::fetch::Fetch;
use crate::store::privacy::Rows;

/// What only pages show of a listed business.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListedDetails {
    /// The counted cost, in billionths of a US dollar.
    pub cost_nanos: i64,
    /// Conversations by day, of the days and of those to compare them with. A day without any is missing.
    pub conversations: BTreeMap<NaiveDate, i64>,
}

/// The computed costs that count, without the list of businesses.
const FILLED: &str = "select business_id, cast(sum(filled_nanos) as bigint) from mlops_cost_daily
    where day between $2 and $3 and business_id";

/// Conversations by day, without the list of businesses.
const CONVERSATIONS: &str = "select business_id, day, conversations from mlops_conversation_daily
    where (day between $2 and $3 or day between $4 and $5) and business_id";

/// Adds the details of these businesses, whose sums over answers must have been read.
pub(super) async fn read<C: Fetch + Rows>(
    conn: &mut C,
    businesses: &mut [ListedBusiness],
    days: DayRange,
    previous: DayRange,
) -> Result<(), sqlx::Error> {
    let ids: Vec<&str> = businesses.iter().map(|business| business.business_id.as_str()).collect();
    let list = json!(ids).to_string();
    let filled = of_them(FILLED, &C::any_text(1), " group by business_id");
    let filled: Vec<(String, i64)> = conn.fetch(filled, &list, &[days.from, days.to]).await?;
    let filled: BTreeMap<String, i64> = filled.into_iter().collect();
    let bounds = [days.from, days.to, previous.from, previous.to];
    let by_day = of_them(CONVERSATIONS, &C::any_text(1), "");
    let mut conversations: BTreeMap<String, BTreeMap<NaiveDate, i64>> = BTreeMap::new();
    for (id, day, count) in conn.fetch::<(String, NaiveDate, i64)>(by_day, &list, &bounds).await? {
        conversations.entry(id).or_default().insert(day, count);
    }
    for business in businesses {
        let reported = business.answers.cost_micros.saturating_mul(1_000);
        let filled = filled.get(&business.business_id).copied().unwrap_or_default();
        business.details = ListedDetails {
            cost_nanos: reported.saturating_add(filled),
            conversations: conversations.remove(&business.business_id).unwrap_or_default(),
        };
    }
    Ok(())
}
