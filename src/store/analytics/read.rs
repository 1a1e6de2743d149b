//! The sums of one business, read in one snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use sqlx::AssertSqlSafe;

use super::cache::{Content, FiguresCache, Key};
use super::fetch::{Fetch, Keyed};
use super::statements::{
    ANSWERS, ANSWERS_BY_DAY, COSTS_BY_DAY, COSTS_BY_MODEL, FACTS, FIRST_LATENCIES, INTENTS, LATENCIES, MARK,
    MONTH, OUTCOMES,
};
use super::{DayRange, Figures, Hour, Intent, models};
use crate::conversation::{CostSums, DailySums};
use crate::rollup::Latencies;
use crate::store::rollups::analytics::{Summary, summed};
use crate::store::{Rebuild, Store, StoreError, dialect};

/// The time limit of reading figures. Those of a year of a busy business take a while when they are read for the first time.
const FIGURES_LIMIT: Duration = Duration::from_secs(5);

/// Which figures of a business to read.
#[derive(Debug, Clone, Copy)]
pub struct FiguresQuery<'a> {
    /// The business.
    pub business_id: &'a str,
    /// The days.
    pub days: DayRange,
    /// The days to compare them with, of which only the sums of days are read.
    pub previous: Option<DayRange>,
    /// The days of the current month, up to today.
    pub month: DayRange,
    /// The current day in the time zone of the business.
    pub today: NaiveDate,
    /// Of how many models to read what they cost each day: those that cost most over all days.
    pub costliest: usize,
}

/// What was read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FiguresRead {
    /// The figures of the days.
    pub current: Figures,
    /// Those to compare them with, if they were asked for.
    pub previous: Option<Figures>,
    /// What the current month has cost.
    pub month: MonthSpent,
    /// The first day of which conversations are known; `None` if they are of every day.
    pub known_from: Option<NaiveDate>,
}

/// What a month has cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MonthSpent {
    /// Reported costs, in millionths of a US dollar.
    pub cost_micros: i64,
    /// Computed costs of answers without a reported one, in billionths of a US dollar.
    pub filled_nanos: i64,
}

from_row!(MonthSpent { cost_micros, filled_nanos });

impl Store {
    /// Returns the figures of a business, all from one snapshot. Call [`Store::digest_all`] before, so that they include the newest events.
    pub async fn figures(&self, query: &FiguresQuery<'_>) -> Result<FiguresRead, StoreError> {
        let mut source = self.source();
        loop {
            let read = on!(source.db(), FIGURES_LIMIT, |conn| {
                let mut tx = dialect::begin_snapshot(conn).await?;
                let mut current = figures(&mut *tx, &self.figures, query, query.days, Content::All).await?;
                if query.costliest > 0 {
                    models::add_costs(&mut *tx, &self.figures, query, &mut current).await?;
                }
                let previous = match query.previous {
                    Some(days) => Some(figures(&mut *tx, &self.figures, query, days, Content::Days).await?),
                    None => None,
                };
                let month = [query.month.from, query.month.to];
                let month = tx.fetch(MONTH, query.business_id, &month).await?.pop().unwrap_or_default();
                let rebuild: Option<Rebuild> =
                    sqlx::query_as(Rebuild::STATE).fetch_optional(&mut *tx).await?;
                Ok(FiguresRead {
                    current,
                    previous,
                    month,
                    known_from: rebuild.and_then(|rebuild| rebuild.known_from(query.today)),
                })
            });
            if let Some(read) = source.settle(read) {
                return read;
            }
        }
    }
}

/// Returns the figures of `days`: those of the days before today from memory, if they have not changed since they were read.
async fn figures<C: Fetch>(
    conn: &mut C,
    cache: &FiguresCache,
    query: &FiguresQuery<'_>,
    days: DayRange,
    what: Content,
) -> Result<Figures, sqlx::Error> {
    let mut figures = Figures::default();
    let (closed, open) = days.parted(query.today);
    if !closed.is_empty() {
        let key = Key { business_id: query.business_id.to_owned(), days: closed, what };
        let mark = mark(conn, query, closed).await?;
        if let Some(cached) = cache.get(&key, &mark) {
            figures.add(&cached);
        } else {
            conn.extend_timeout().await?;
            let read = Arc::new(read(conn, query.business_id, closed, what).await?);
            figures.add(&read);
            cache.put(key, mark, read);
        }
    }
    if !open.is_empty() {
        figures.add(&read(conn, query.business_id, open, what).await?);
    }
    Ok(figures)
}

/// Returns a text that changes when the figures of these days do, which are over.
pub(super) async fn mark<C: Fetch>(
    conn: &mut C,
    query: &FiguresQuery<'_>,
    closed: DayRange,
) -> Result<String, sqlx::Error> {
    let bounds = [closed.from, closed.to, query.today];
    let marks: Vec<(String,)> = conn.fetch(MARK.as_str(), query.business_id, &bounds).await?;
    Ok(marks.into_iter().next().map(|(mark,)| mark).unwrap_or_default())
}

/// Reads the figures of days: all, or only the sums of days.
async fn read<C: Fetch>(
    conn: &mut C,
    business_id: &str,
    range: DayRange,
    what: Content,
) -> Result<Figures, sqlx::Error> {
    let (mut figures, days) = (Figures::default(), [range.from, range.to]);
    let whole = what == Content::All;
    let answers = if whole { ANSWERS.as_str() } else { ANSWERS_BY_DAY.as_str() };
    for Keyed(name, sums) in conn.fetch::<Keyed<String, Summary>>(answers, business_id, &days).await? {
        add_answers(&mut figures, &name, sums);
    }
    for Keyed(day, facts) in
        conn.fetch::<Keyed<NaiveDate, DailySums>>(FACTS.as_str(), business_id, &days).await?
    {
        figures.days.entry(day).or_default().facts = facts;
    }
    let costs: Vec<Keyed<NaiveDate, CostSums>> =
        conn.fetch(COSTS_BY_DAY.as_str(), business_id, &days).await?;
    for Keyed(day, costs) in costs {
        figures.days.entry(day).or_default().costs = costs;
    }
    for (day, outcomes) in conn.fetch::<(NaiveDate, i64)>(OUTCOMES, business_id, &days).await? {
        figures.days.entry(day).or_default().outcomes_without_conversation = outcomes;
    }
    if whole {
        read_groups(conn, business_id, &days, &mut figures).await?;
        read_latencies(conn, business_id, &days, &mut figures).await?;
    }
    Ok(figures)
}

/// Adds a row of [`ANSWERS`].
fn add_answers(figures: &mut Figures, name: &str, sums: Summary) {
    let Some(letter) = name.chars().next() else { return };
    let name = &name[letter.len_utf8()..];
    match letter {
        'd' => {
            if let Ok(day) = name.parse() {
                figures.days.entry(day).or_default().answers = sums;
            }
        }
        'm' => figures.models.entry(name.to_owned()).or_default().answers = sums,
        'i' => {
            let intent = Intent { answers: sums.events, errors: sums.errors, ..Intent::default() };
            figures.intents.insert(name.to_owned(), intent);
        }
        _ => drop(figures.response_types.insert(name.to_owned(), sums.events)),
    }
}

/// Reads costs by model, conversations by intent, and hours.
async fn read_groups<C: Fetch>(
    conn: &mut C,
    business_id: &str,
    days: &[NaiveDate],
    figures: &mut Figures,
) -> Result<(), sqlx::Error> {
    let costs: Vec<Keyed<String, CostSums>> = conn.fetch(COSTS_BY_MODEL.as_str(), business_id, days).await?;
    for Keyed(model, costs) in costs {
        figures.models.entry(model).or_default().costs = costs;
    }
    for Keyed(intent, sums) in
        conn.fetch::<Keyed<String, Intent>>(INTENTS.as_str(), business_id, days).await?
    {
        *figures.intents.entry(intent).or_default() += sums;
    }
    let hours = format!(
        "select cast({} * 24 + hour as bigint), {} from mlops_hourly where business_id = $1 and day between $2 and $3 group by 1",
        C::WEEKDAY,
        summed(Hour::COLUMNS)
    );
    for Keyed(hour, sums) in conn.fetch::<Keyed<i64, Hour>>(AssertSqlSafe(hours), business_id, days).await? {
        if let (Ok(weekday), Ok(hour)) = ((hour / 24).try_into(), (hour % 24).try_into()) {
            figures.hours.insert((weekday, hour), sums);
        }
    }
    Ok(())
}

/// Reads response times, and the percentiles of each day.
async fn read_latencies<C: Fetch>(
    conn: &mut C,
    business_id: &str,
    days: &[NaiveDate],
    figures: &mut Figures,
) -> Result<(), sqlx::Error> {
    let mut by_day: BTreeMap<NaiveDate, Latencies> = BTreeMap::new();
    for (day, bucket, events) in conn.fetch::<(NaiveDate, i16, i64)>(LATENCIES, business_id, days).await? {
        by_day.entry(day).or_default().add(bucket, events);
    }
    for (day, latencies) in by_day {
        figures.latencies.merge(&latencies);
        let day = figures.days.entry(day).or_default();
        (day.p50_ms, day.p95_ms) = (latencies.percentile(50), latencies.percentile(95));
    }
    let first: Vec<(i16, i64)> = conn.fetch(FIRST_LATENCIES, business_id, days).await?;
    figures.first_latencies = first.into_iter().collect();
    Ok(())
}
