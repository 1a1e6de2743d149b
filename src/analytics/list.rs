//! The businesses, with their headline figures.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

use super::Period;
use super::sections::{Basis, Metrics};
use crate::app::App;
use crate::business::Profiles;
use crate::store::{Headline, ListedBusiness, RankedBy, StoreError};

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
    /// The place of the last business of the page before; `None` for the first page.
    pub after: Option<&'a Place>,
    /// The maximum number of businesses.
    pub limit: usize,
    /// The only business that may be listed; `None` for all.
    pub own: Option<&'a str>,
}

/// A business of the list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listed {
    /// Its id.
    pub business_id: String,
    /// Its name; null if it has none.
    pub name: Option<String>,
    /// Sums and averages of answers.
    pub metrics: Metrics,
    /// Conversations; null if none of the period are known.
    pub conversations: Option<i64>,
    /// Booked conversations; likewise.
    pub booked: Option<i64>,
    /// The 95th percentile of response times in milliseconds; null without answers.
    pub p95_ms: Option<f64>,
}

/// Returns a page of the businesses that have answers or a profile, and the place of its last one if more follow.
pub async fn list(app: &App, query: ListQuery<'_>) -> Result<(Vec<Listed>, Option<Place>), StoreError> {
    let profiles = app.store.profiles().current();
    let now = app.clock.now();
    let today = now.with_timezone(&profiles.default_zone()).date_naive();
    let shares_book = app.store.shares_book();
    app.store.digest_all().await?;
    // A key of one business sees that one, also without answers; there is nothing to rank.
    let ranked = query.own.is_none().then(|| query.sort.ranked_by());
    let choose = |headlines| {
        let headlines = match query.own {
            Some(own) => BTreeMap::from([(own.to_owned(), Headline::default())]),
            None => with_profiles(headlines, &profiles),
        };
        page(headlines, &query, &profiles, shares_book)
    };
    let (businesses, next, known_from) = app.store.list(query.period.days, today, ranked, choose).await?;
    let basis = Basis { known_from, shares_book };
    let is_known = basis.knows(query.period.days.to);
    let shown = businesses.into_iter().map(|business| Listed::of(business, &profiles, basis, is_known));
    Ok((shown.collect(), next))
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

/// Returns the ids of a page, and the place of the last one if more follow.
fn page(
    headlines: BTreeMap<String, Headline>,
    query: &ListQuery<'_>,
    profiles: &Profiles,
    shares_book: bool,
) -> (Vec<String>, Option<Place>) {
    let basis = Basis { known_from: None, shares_book };
    let place = |(business_id, headline): (String, Headline)| {
        let rank = match query.sort {
            Sort::Conversations => Rank::Amount(Reverse(headline.conversations)),
            Sort::Bookings => {
                Rank::Amount(Reverse(basis.booked(headline.booked, headline.claimed_not_booked)))
            }
            Sort::Cost => Rank::Amount(Reverse(headline.cost_nanos)),
            Sort::Name => {
                let name = profiles.get(&business_id).and_then(|profile| profile.name.as_ref());
                Rank::Name(name.unwrap_or(&business_id).to_lowercase())
            }
        };
        (rank, business_id)
    };
    let mut places: Vec<Place> = headlines
        .into_iter()
        .map(place)
        .filter(|place| query.after.is_none_or(|after| place > after))
        .collect();
    places.sort_unstable();
    let more = places.len() > query.limit;
    places.truncate(query.limit);
    let next = places.last().filter(|_| more).cloned();
    (places.into_iter().map(|(_, business_id)| business_id).collect(), next)
}

impl Listed {
    fn of(business: ListedBusiness, profiles: &Profiles, basis: Basis, is_known: bool) -> Self {
        let (headline, known) = (business.headline, |count: i64| is_known.then_some(count));
        Self {
            name: profiles.get(&business.business_id).and_then(|profile| profile.name.clone()),
            business_id: business.business_id,
            metrics: business.answers.into(),
            conversations: known(headline.conversations),
            booked: known(basis.booked(headline.booked, headline.claimed_not_booked)),
            p95_ms: business.latencies.percentile(95),
        }
    }
}
