//! The rows of the page that lists businesses: what the API returns, and what changed.

use chrono::{Days, NaiveDate};

use super::{ListPage, ListQuery, Listed, Read};
use crate::analytics::{Rate, Usd};
use crate::app::App;
use crate::app::last_known::{Key, Remembered, Shown, shown};
use crate::store::{ListedBusiness, StoreError};

/// A business on the page that lists them.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What the API returns.
    pub listed: Listed,
    /// The counted cost.
    pub cost_usd: Usd,
    /// How conversations changed from the period before; see [`crate::analytics::Change`]. `None` unless those of all these days are known.
    pub change: Option<Rate<i64>>,
    /// Conversations on each day of the period, oldest first; those of a day are `None` if they are not known, and of a day to come.
    pub days: Vec<Option<i64>>,
}

/// Returns a page of the businesses that have answers or a profile; the last known one while the store is away.
pub async fn rows(app: &App, query: ListQuery<'_>) -> Result<Shown<ListPage<Row>>, StoreError> {
    let what = (query.period.name.as_str(), query.sort.name(), query.search, query.skip, query.limit);
    let key = Key::new(query.own, &what);
    shown(app, key, async || {
        let read = Read::of(app, query, Some(query.period.previous())).await?;
        let businesses = read.businesses.iter().map(|business| Row::of(business, &read, query)).collect();
        Ok(ListPage { businesses, next: read.next, matches: read.matches })
    })
    .await
}

impl Row {
    fn of(business: &ListedBusiness, read: &Read, query: ListQuery<'_>) -> Self {
        let (period, today, basis) = (query.period, read.today, read.basis);
        let (days, previous) = (period.days, period.previous());
        let (counterpart, by_day) = (today - Days::new(period.shift()), &business.details.conversations);
        let sum = |from: NaiveDate, to: NaiveDate, before: NaiveDate| -> i64 {
            let counted = by_day.iter().filter(|(day, _)| (from..=to).contains(*day) && **day < before);
            counted.map(|(_, count)| count).sum()
        };
        let now = sum(days.from, days.to, today);
        let then = sum(previous.from, previous.to, counterpart);
        let of_day =
            |day| (basis.knows(day) && day <= today).then(|| by_day.get(&day).copied().unwrap_or_default());
        Self {
            listed: read.listed(business),
            cost_usd: Usd::from_nanos(business.details.cost_nanos),
            change: basis.knows(previous.from).then(|| Rate::change(now, then)),
            days: days.days().map(of_day).collect(),
        }
    }
}

impl Remembered for ListPage<Row> {
    fn bytes(&self) -> usize {
        let row = |row: &Row| {
            let texts = row.listed.business_id.len() + row.listed.name.as_ref().map_or(0, String::len);
            size_of::<Row>() + texts + row.days.len() * size_of::<Option<i64>>()
        };
        self.businesses.iter().map(row).sum()
    }
}
