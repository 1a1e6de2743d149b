//! The figures of many businesses.

mod answers;
mod costs;
mod details;

pub use details::ListedDetails;

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use chrono::NaiveDate;
use serde_json::json;
use sqlx::AssertSqlSafe;

use super::DayRange;
use super::cache::FiguresCache;
use super::fetch::{Fetch, Keyed};
use super::figures::sums;
use crate::rollup::Latencies;
use crate::store::privacy::Rows;
use crate::store::rollups::analytics::{Summary, summed};
use crate::store::rollups::columns::list;
use crate::store::{Rebuild, Store, StoreError, dialect};

/// The time limit of reading the list.
const LIST_LIMIT: Duration = Duration::from_secs(5);

sums! {
    /// What businesses are sorted by.
    Headline {
        /// Conversations.
        conversations,
        /// Booked conversations; see [`crate::conversation::DailySums::booked`].
        booked,
        /// See [`crate::conversation::DailySums::claimed_not_booked`].
        claimed_not_booked,
        /// Counted costs in billionths of a US dollar; 0 if the list is not sorted by them.
        cost_nanos,
    }
}

/// The figures of a business in the list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ListedBusiness {
    /// The business.
    pub business_id: String,
    /// Sums over answers.
    pub answers: Summary,
    /// Conversations and bookings.
    pub headline: Headline,
    /// Response times.
    pub latencies: Latencies,
    /// What only pages show, if it was asked for.
    pub details: ListedDetails,
}

/// Every business of which there are answers. From one id to the next it takes a look into the index; to read all rows would take longer.
fn all(pending: &str) -> AssertSqlSafe<String> {
    let zeros = Headline::COLUMNS.iter().map(|column| format!("cast(0 as bigint) as {column}"));
    AssertSqlSafe(format!(
        "with recursive ids (id) as (
            select min(business_id) from ai_totals where business_id > $1
            union all
            select (select min(business_id) from ai_totals where business_id > id) from ids where id is not null
        )
        select id as business_id, {} from (
            select id from ids where id is not null
            union {pending}
        ) every_business",
        list(zeros)
    ))
}

/// The conversations of every business.
static CONVERSATIONS: LazyLock<String> =
    LazyLock::new(|| format!("{} and business_id > $1 group by business_id", *DAYS_OF_CONVERSATIONS));

/// The conversations of businesses, which are still to be selected and grouped.
static DAYS_OF_CONVERSATIONS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select business_id, {}, cast(0 as bigint) as cost_nanos from mlops_conversation_daily where day between $2 and $3",
        summed(&Headline::COLUMNS[..3])
    )
});

/// What to list.
#[derive(Debug, Clone, Copy)]
pub struct ListRead {
    /// The days.
    pub days: DayRange,
    /// The current day.
    pub today: NaiveDate,
    /// By what businesses are ranked; `None` if those of which there are answers need not be found.
    pub ranked: Option<RankedBy>,
    /// The days to compare them with, for [`ListedBusiness::details`]; `None` to leave these out.
    pub previous: Option<DayRange>,
}

/// Precedes every id of a business.
const FIRST: &str = "";

impl Store {
    /// Returns the figures of some businesses, what `choose` adds to them, and the first day of which conversations are known, if not of all.
    /// `choose` chooses which: it gets what every business is sorted by, costs only if they are ranked by them, and returns the ids of the
    /// businesses. All is from one snapshot. Call [`Store::digest_all`] before, so that it includes the newest events.
    pub async fn list<T>(
        &self,
        query: ListRead,
        choose: impl Fn(BTreeMap<String, Headline>) -> (Vec<String>, T),
    ) -> Result<(Vec<ListedBusiness>, T, Option<NaiveDate>), StoreError> {
        let ListRead { days, today, ranked, previous } = query;
        let mut source = self.source();
        loop {
            let read = on!(source.db(), LIST_LIMIT, |conn| {
                let mut tx = dialect::begin_snapshot(conn).await?;
                let rebuild: Option<Rebuild> =
                    sqlx::query_as(Rebuild::STATE).fetch_optional(&mut *tx).await?;
                let known_from = rebuild.and_then(|rebuild| rebuild.known_from(today));
                let known = DayRange { from: days.from.max(known_from.unwrap_or(days.from)), ..days };
                let headlines = headlines(&mut *tx, &self.figures, query, known).await?;
                let (ids, added) = choose(headlines.clone());
                let mut businesses = answers::listed(&mut *tx, &self.figures, ids, query).await?;
                match ranked {
                    Some(RankedBy::Conversations) => take_headlines(&mut businesses, &headlines),
                    _ => read_headlines(&mut *tx, &mut businesses, known).await?,
                }
                if let Some(previous) = previous {
                    details::read(&mut *tx, &mut businesses, days, previous).await?;
                }
                Ok((businesses, added, known_from))
            });
            if let Some(read) = source.settle(read) {
                return read;
            }
        }
    }
}

/// By what businesses are ranked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RankedBy {
    /// Nothing that is read.
    Nothing,
    /// Their conversations and bookings.
    Conversations,
    /// Their counted costs.
    Costs,
}

/// Reads what every business is sorted by.
async fn headlines<C: Fetch>(
    conn: &mut C,
    cache: &FiguresCache,
    query: ListRead,
    known: DayRange,
) -> Result<BTreeMap<String, Headline>, sqlx::Error> {
    let mut headlines = BTreeMap::new();
    let Some(by) = query.ranked else { return Ok(headlines) };
    let rows: Vec<Keyed<String, Headline>> = conn.fetch(all(C::PENDING_BUSINESSES), FIRST, &[]).await?;
    headlines.extend(rows.into_iter().map(|Keyed(id, headline)| (id, headline)));
    match by {
        RankedBy::Nothing => {}
        RankedBy::Conversations => {
            let rows: Vec<Keyed<String, Headline>> =
                conn.fetch(CONVERSATIONS.as_str(), FIRST, &[known.from, known.to]).await?;
            headlines.extend(rows.into_iter().map(|Keyed(id, headline)| (id, headline)));
        }
        RankedBy::Costs => {
            for (id, cost_nanos) in costs::read(conn, cache, query).await? {
                headlines.entry(id).or_default().cost_nanos = cost_nanos;
            }
        }
    }
    Ok(headlines)
}

/// Reads the conversations and bookings of these businesses.
async fn read_headlines<C: Fetch + Rows>(
    conn: &mut C,
    businesses: &mut [ListedBusiness],
    known: DayRange,
) -> Result<(), sqlx::Error> {
    let sql = format!("{} and business_id", *DAYS_OF_CONVERSATIONS);
    let sql = of_them(&sql, &C::any_text(1), " group by business_id");
    let ids: Vec<&str> = businesses.iter().map(|business| business.business_id.as_str()).collect();
    let list = json!(ids).to_string();
    let rows: Vec<Keyed<String, Headline>> = conn.fetch(sql, &list, &[known.from, known.to]).await?;
    take_headlines(businesses, &rows.into_iter().map(|Keyed(id, headline)| (id, headline)).collect());
    Ok(())
}

/// Sets the conversations and bookings of these businesses.
fn take_headlines(businesses: &mut [ListedBusiness], headlines: &BTreeMap<String, Headline>) {
    for business in businesses {
        business.headline = headlines.get(&business.business_id).copied().unwrap_or_default();
    }
}

/// Completes a statement about some businesses.
pub(super) fn of_them(sql: &str, condition: &str, rest: &str) -> AssertSqlSafe<String> {
    AssertSqlSafe([sql, condition, rest].join(" "))
}
