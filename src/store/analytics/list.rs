//! The figures of many businesses.

mod details;

pub use details::ListedDetails;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use chrono::NaiveDate;
use serde_json::json;
use sqlx::AssertSqlSafe;

use super::cache::{Content, FiguresCache, Key};
use super::fetch::{Fetch, Keyed};
use super::figures::sums;
use super::{Day, DayRange, Figures};
use crate::rollup::Latencies;
use crate::store::privacy::Rows;
use crate::store::rollups::analytics::{Summary, answer_columns, summed};
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

/// The counted costs of every business.
const COSTS: &str = "select business_id, cast(0 as bigint) as conversations, cast(0 as bigint) as booked,
        cast(0 as bigint) as claimed_not_booked, cast(sum(nanos) as bigint) as cost_nanos
    from (
        select business_id, cost_micros * 1000 as nanos from ai_rollup_daily_now
        where business_id > $1 and day between $2 and $3
        union all
        select business_id, filled_nanos from mlops_cost_daily where business_id > $1 and day between $2 and $3
    ) costs group by business_id";

/// The conversations of businesses, which are still to be selected and grouped.
static DAYS_OF_CONVERSATIONS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select business_id, {}, cast(0 as bigint) as cost_nanos from mlops_conversation_daily where day between $2 and $3",
        summed(&Headline::COLUMNS[..3])
    )
});

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
const MARKED: [&str; 4] = ["events", "response_time_ms", "tokens", "cost_micros"];

/// A business and its sums of [`MARKED`].
type Marked = (String, i64, i64, i64, i64);

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
        on!(&self.read, LIST_LIMIT, |conn| {
            let mut tx = dialect::begin_snapshot(conn).await?;
            let rebuild: Option<Rebuild> = sqlx::query_as(Rebuild::STATE).fetch_optional(&mut *tx).await?;
            let known_from = rebuild.and_then(|rebuild| rebuild.known_from(today));
            let known = DayRange { from: days.from.max(known_from.unwrap_or(days.from)), ..days };
            let headlines = headlines(&mut *tx, days, known, ranked).await?;
            let (ids, added) = choose(headlines.clone());
            let mut businesses = listed(&mut *tx, &self.figures, ids, query).await?;
            match ranked {
                Some(RankedBy::Conversations) => take_headlines(&mut businesses, &headlines),
                _ => read_headlines(&mut *tx, &mut businesses, known).await?,
            }
            if let Some(previous) = previous {
                details::read(&mut *tx, &mut businesses, days, previous).await?;
            }
            Ok((businesses, added, known_from))
        })
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
    days: DayRange,
    known: DayRange,
    ranked: Option<RankedBy>,
) -> Result<BTreeMap<String, Headline>, sqlx::Error> {
    let mut headlines = BTreeMap::new();
    let Some(by) = ranked else { return Ok(headlines) };
    let rows: Vec<Keyed<String, Headline>> = conn.fetch(all(C::PENDING_BUSINESSES), FIRST, &[]).await?;
    headlines.extend(rows.into_iter().map(|Keyed(id, headline)| (id, headline)));
    let rows: Vec<Keyed<String, Headline>> = match by {
        RankedBy::Nothing => Vec::new(),
        RankedBy::Conversations => conn.fetch(CONVERSATIONS.as_str(), FIRST, &[known.from, known.to]).await?,
        RankedBy::Costs => conn.fetch(COSTS, FIRST, &[days.from, days.to]).await?,
    };
    headlines.extend(rows.into_iter().map(|Keyed(id, headline)| (id, headline)));
    Ok(headlines)
}

/// Reads the figures of these businesses, in their order: those of the days before today from memory, if they have not changed since they were read.
async fn listed<C: Fetch + Rows>(
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

/// Completes a statement about some businesses.
pub(super) fn of_them(sql: &str, condition: &str, rest: &str) -> AssertSqlSafe<String> {
    AssertSqlSafe([sql, condition, rest].join(" "))
}
