//! The businesses, with their headline figures.

mod rows;

pub use rows::{Row, rows};

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};
use utoipa::ToSchema;

use super::Period;
use super::sections::{Basis, Metrics};
use crate::app::App;
use crate::business::Profiles;
use crate::store::{DayRange, Headline, ListRead, ListedBusiness, RankedBy, StoreError};

/// How the list is sorted. Businesses that are equal in it are sorted by id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Sort {
    /// By conversations, the most first.
    #[default]
    Conversations,
    /// By counted cost, the highest first.
    Cost,
    /// By booked conversations, the most first.
    Bookings,
    /// By name, without regard to case; those without a name by their id.
    Name,
}

impl Sort {
    /// Returns its name in requests.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    const fn ranked_by(self) -> RankedBy {
        match self {
            Self::Conversations | Self::Bookings => RankedBy::Conversations,
            Self::Cost => RankedBy::Costs,
            Self::Name => RankedBy::Nothing,
        }
    }
}

/// Where a business stands in a sorted list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Rank {
    /// By an amount, the largest first.
    Amount(Reverse<i64>),
    /// By a name.
    Name(String),
}

/// The place of a business in the list: its rank, then its id.
pub type Place = (Rank, String);

/// A page of the list.
#[derive(Debug, Clone, Copy)]
pub struct ListQuery<'a> {
    /// The period, in days of `TIME_ZONE`.
    pub period: &'a Period,
    /// How it is sorted.
    pub sort: Sort,
    /// A part of the name or of the id of the businesses, whatever the case; all if it is empty.
    pub search: &'a str,
    /// The place of the last business of the page before; `None` for the first page.
    pub after: Option<&'a Place>,
    /// How many businesses after that one to leave out.
    pub skip: usize,
    /// The maximum number of businesses.
    pub limit: usize,
    /// The only business that may be listed; `None` for all.
    pub own: Option<&'a str>,
}

/// A business of the list.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Listed {
    /// Its id.
    pub business_id: String,
    /// Its name; null if it has none.
    #[schema(required)]
    pub name: Option<String>,
    /// Sums and averages of answers.
    pub metrics: Metrics,
    /// Conversations; null if none of the period are known.
    #[schema(required, minimum = 0)]
    pub conversations: Option<i64>,
    /// Booked conversations; likewise.
    #[schema(required, minimum = 0)]
    pub booked: Option<i64>,
    /// The 95th percentile of response times in milliseconds; null without answers.
    #[schema(required)]
    pub p95_ms: Option<f64>,
}

/// Some of the businesses, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct ListPage<T> {
    /// The businesses.
    pub businesses: Vec<T>,
    /// The place of the last one if more follow.
    pub next: Option<Place>,
    /// How many businesses the whole list has.
    pub matches: usize,
}

/// Returns a page of the businesses that have answers or a profile.
pub async fn list(app: &App, query: ListQuery<'_>) -> Result<ListPage<Listed>, StoreError> {
    let read = Read::of(app, query, None).await?;
    let businesses = read.businesses.iter().map(|business| read.listed(business)).collect();
    Ok(ListPage { businesses, next: read.next, matches: read.matches })
}

/// What was read of a page.
struct Read {
    businesses: Vec<ListedBusiness>,
    next: Option<Place>,
    matches: usize,
    profiles: Arc<Profiles>,
    basis: Basis,
    today: NaiveDate,
    last: NaiveDate,
}

impl Read {
    /// Reads a page; with details if there are `previous` days.
    async fn of(app: &App, query: ListQuery<'_>, previous: Option<DayRange>) -> Result<Self, StoreError> {
        let profiles = app.store.profiles().current();
        let days = query.period.days;
        let today = app.clock.now().with_timezone(&profiles.default_zone()).date_naive();
        let shares_book = app.store.shares_book();
        app.store.digest_all().await?;
        // A key of one business sees that one, also without answers; there is nothing to rank.
        let ranked = query.own.is_none().then(|| query.sort.ranked_by());
        let choose = |headlines| {
            let headlines = match query.own {
                Some(own) => BTreeMap::from([(own.to_owned(), Headline::default())]),
                None => with_profiles(headlines, &profiles),
            };
            let chosen = page(headlines, &query, &profiles, shares_book);
            (chosen.businesses, (chosen.next, chosen.matches))
        };
        let read = ListRead { days, today, ranked, previous };
        let (businesses, (next, matches), known_from) = app.store.list(read, choose).await?;
        let basis = Basis { known_from, shares_book };
        Ok(Self { businesses, next, matches, profiles, basis, today, last: days.to })
    }

    fn listed(&self, business: &ListedBusiness) -> Listed {
        let (headline, is_known) = (business.headline, self.basis.knows(self.last));
        let known = |count: i64| is_known.then_some(count);
        let profile = self.profiles.get(&business.business_id);
        Listed {
            name: profile.and_then(|profile| profile.name.clone()),
            business_id: business.business_id.clone(),
            metrics: business.answers.into(),
            conversations: known(headline.conversations),
            booked: known(self.basis.booked(headline.booked, headline.claimed_not_booked)),
            p95_ms: business.latencies.percentile(95),
        }
    }
}

/// Adds the businesses of which there is only a profile.
fn with_profiles(
    mut headlines: BTreeMap<String, Headline>,
    profiles: &Profiles,
) -> BTreeMap<String, Headline> {
    for (business_id, _) in profiles.iter() {
        if !headlines.contains_key(business_id) {
            headlines.insert(business_id.to_owned(), Headline::default());
        }
    }
    headlines
}

/// Returns the ids of a page.
fn page(
    headlines: BTreeMap<String, Headline>,
    query: &ListQuery<'_>,
    profiles: &Profiles,
    shares_book: bool,
) -> ListPage<String> {
    let basis = Basis { known_from: None, shares_book };
    let name_of = |business_id: &str| {
        let name = profiles.get(business_id).and_then(|profile| profile.name.as_deref());
        name.unwrap_or(business_id).to_lowercase()
    };
    let search = query.search.trim().to_lowercase();
    let is_sought = |business_id: &String| {
        let has = |text: &str| text.contains(&search);
        search.is_empty() || has(&business_id.to_lowercase()) || has(&name_of(business_id))
    };
    let place = |(business_id, headline): (String, Headline)| {
        let rank = match query.sort {
            Sort::Conversations => Rank::Amount(Reverse(headline.conversations)),
            Sort::Bookings => {
                Rank::Amount(Reverse(basis.booked(headline.booked, headline.claimed_not_booked)))
            }
            Sort::Cost => Rank::Amount(Reverse(headline.cost_nanos)),
            Sort::Name => Rank::Name(name_of(&business_id)),
        };
        (rank, business_id)
    };
    let sought = headlines.into_iter().filter(|(business_id, _)| is_sought(business_id));
    let mut places: Vec<Place> = sought.map(place).collect();
    let matches = places.len();
    places.retain(|place| query.after.is_none_or(|after| place > after));
    places.sort_unstable();
    places.drain(..query.skip.min(places.len()));
    let more = places.len() > query.limit;
    places.truncate(query.limit);
    let next = places.last().filter(|_| more).cloned();
    let businesses = places.into_iter().map(|(_, business_id)| business_id).collect();
    ListPage { businesses, next, matches }
}
