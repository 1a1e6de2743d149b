//! The figures of one business.

use std::sync::Arc;

use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

use super::price::price_of;
use super::sections::{
    AllPercentiles, Basis, Conversations, Cost, Funnel, Metrics, Month, OfDay, OfHour, OfIntent, OfModel,
    OfResponseType, Previous, Quality, Totals,
};
use super::{Includes, Part, Period};
use crate::app::App;
use crate::business::Profiles;
use crate::store::{FiguresQuery, FiguresRead, StoreError};

/// The figures of a business over a period. Parts that were not asked for are missing; null is what cannot be known.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Report {
    /// The first day.
    #[schema(format = Date)]
    pub from: String,
    /// The last day.
    #[schema(format = Date)]
    pub to: String,
    /// The time zone that the days are in, an IANA name.
    pub time_zone: &'static str,
    /// The first day of which conversations are known; null if they are of every day. Those of earlier days are in no figure.
    #[schema(required, format = Date)]
    pub known_from: Option<String>,
    /// Sums and averages of answers.
    pub metrics: Metrics,
    /// Conversations, and rates of them; null if no conversation of the period is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversations: Option<Option<Conversations>>,
    /// From conversations to kept appointments; null if no conversation of the period is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub funnel: Option<Option<Funnel>>,
    /// Each day, the oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub series: Option<Vec<OfDay>>,
    /// Each hour of the week; null if no conversation of the period is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<Option<Vec<OfHour>>>,
    /// Percentiles of response times.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub percentiles: Option<AllPercentiles>,
    /// Each model, the one with the most answers first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub by_model: Option<Vec<OfModel>>,
    /// Each intent, the one with the most answers first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub by_intent: Option<Vec<OfIntent>>,
    /// Each response type, the one with the most answers first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub by_response_type: Option<Vec<OfResponseType>>,
    /// Costs and the budget.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub cost: Option<Cost>,
    /// The period before, and what changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub previous: Option<Previous>,
    /// How far the figures can be trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub quality: Option<Quality>,
}

/// Computes the figures of a business over a period, with the parts that are asked for.
pub async fn report(
    app: &App,
    business_id: &str,
    period: &Period,
    includes: &Includes,
) -> Result<Report, StoreError> {
    Ok(Reading::of(app, business_id, period, includes, 0).await?.report(includes))
}

/// What was read of a business, and what it is computed with.
pub(super) struct Reading<'a> {
    app: &'a App,
    business_id: &'a str,
    profiles: Arc<Profiles>,
    month: Month,
    pub(super) period: &'a Period,
    pub(super) today: NaiveDate,
    pub(super) basis: Basis,
    pub(super) read: FiguresRead,
}

impl<'a> Reading<'a> {
    /// Reads what a report with `includes` needs, and what the `costliest` models cost each day.
    pub(super) async fn of(
        app: &'a App,
        business_id: &'a str,
        period: &'a Period,
        includes: &Includes,
        costliest: usize,
    ) -> Result<Self, StoreError> {
        let (now, profiles) = (app.clock.now(), app.store.profiles().current());
        let (today, zone) = (profiles.day(business_id, now), profiles.zone(business_id));
        app.store.digest_all().await?;
        let query = FiguresQuery {
            business_id,
            days: period.days,
            previous: includes.has(Part::Previous).then(|| period.previous()),
            month: Month::days(today),
            today,
            costliest,
        };
        let read = app.store.figures(&query).await?;
        let basis = Basis { known_from: read.known_from, shares_book: app.store.shares_book() };
        let month = Month::new(read.month, now, zone);
        Ok(Self { app, business_id, profiles, month, period, today, basis, read })
    }

    pub(super) fn report(&self, includes: &Includes) -> Report {
        let (figures, days, basis) = (&self.read.current, self.period.days, self.basis);
        let totals = Totals::of(&figures.days, days.to, basis, |_| true);
        let are_known = totals.known.is_some();
        let profile = self.profiles.get(self.business_id);
        let opening_hours = profile.and_then(|profile| profile.opening_hours.as_ref());
        let budget = profile.and_then(|profile| profile.monthly_budget_micros);
        let has = |part| includes.has(part);
        let previous = self.read.previous.as_ref();
        Report {
            from: days.from.to_string(),
            to: days.to.to_string(),
            time_zone: self.profiles.zone(self.business_id).name(),
            known_from: basis.known_from.map(|day| day.to_string()),
            metrics: totals.all.answers.into(),
            conversations: has(Part::Conversations).then(|| Conversations::of(&totals)),
            funnel: has(Part::Funnel).then(|| Funnel::of(&totals, basis)),
            series: has(Part::Series).then(|| OfDay::all(figures, days, self.today, basis)),
            hours: has(Part::Hours).then(|| are_known.then(|| OfHour::all(figures, opening_hours))),
            percentiles: has(Part::Percentiles).then(|| AllPercentiles::of(figures)),
            by_model: has(Part::ByModel).then(|| OfModel::all(figures, |model| price_of(self.app, model))),
            by_intent: has(Part::ByIntent).then(|| OfIntent::all(figures, basis, are_known)),
            by_response_type: has(Part::ByResponseType).then(|| OfResponseType::all(figures)),
            cost: has(Part::Cost).then(|| Cost::of(&totals, basis, &self.month, budget)),
            previous: previous
                .map(|previous| Previous::of(figures, previous, self.period, self.today, basis)),
            quality: has(Part::Quality).then(|| Quality::of(&totals)),
        }
    }
}
