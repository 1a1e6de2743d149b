//! The page of a business.

mod conversations;
pub(super) mod sheets;

use axum::response::Response;
use chrono::NaiveDate;
use serde::Deserialize;

use super::page as respond;
use super::reader::{Reader, unavailable};
use crate::analytics::{Period, PeriodQuery, business_page};
use crate::app::App;
use crate::http::analytics::conversations::ConversationsQuery;
use crate::http::error::ApiError;
use crate::http::extract::{BusinessId, Query};
use crate::pages::business::{BusinessPage, Subject};
use crate::pages::{PeriodView, segment, sentence};

/// The query string.
#[derive(Debug, Default, Deserialize)]
pub struct BusinessQuery {
    #[serde(flatten)]
    period: PeriodQuery,
    /// Which figures of the page to return as CSV.
    csv: Option<String>,
    #[serde(flatten)]
    conversations: ConversationsQuery,
}

/// `GET /businesses/{business_id}`: returns the page of a business, or the figures of one of its charts as CSV.
pub async fn page(
    app: App,
    reader: Reader,
    business_id: BusinessId,
    Query(query): Query<BusinessQuery>,
) -> Result<Response, ApiError> {
    let period = query.period.read(today(&app, business_id.as_str()))?;
    show(&app, &reader, business_id.as_str(), &period, &query).await
}

/// Returns the page of a business over a period, for a reader who has nothing else to choose.
pub(in crate::http) async fn shared(
    app: &App,
    reader: &Reader,
    business_id: &str,
    month: Option<(NaiveDate, NaiveDate)>,
    csv: Option<String>,
) -> Result<Response, ApiError> {
    let (from, to) = month.map(|(from, to)| (from.to_string(), to.to_string())).unzip();
    let period = PeriodQuery { from, to, ..PeriodQuery::default() }.read(today(app, business_id))?;
    show(app, reader, business_id, &period, &BusinessQuery { csv, ..BusinessQuery::default() }).await
}

async fn show(
    app: &App,
    reader: &Reader,
    business_id: &str,
    period: &Period,
    query: &BusinessQuery,
) -> Result<Response, ApiError> {
    let shown = business_page(app, reader.own.as_deref(), business_id, period).await;
    let shown = shown.map_err(|error| unavailable(&error))?;
    if let Some(what) = &query.csv {
        return sheets::sheet(what, business_id, &shown.value);
    }
    let (profiles, locale) = (app.store.profiles().current(), &reader.locale);
    let zone = profiles.zone(business_id);
    let view = PeriodView::new(locale, period, "");
    let conversations = match reader.is_guest || shown.is_stale {
        true => None,
        false => conversations::list(app, locale, business_id, &view.query, &query.conversations).await?,
    };
    let notable = shown.value.notable.as_ref();
    let profile = profiles.get(business_id);
    let subject = Subject {
        opening_hours: profile.and_then(|profile| profile.opening_hours.clone()),
        name: name(app, business_id),
        shares_book: app.store.shares_book(),
        statement: (!reader.is_guest).then(|| format!("/statement/{}", segment(business_id))),
        notices: reader.notices(&shown, zone),
        sentence: notable.map(|notable| sentence(locale, notable, view.weeks)),
        period: if reader.is_guest { view.fixed() } else { view },
        locale,
    };
    let empty = reader.first_event(Some(business_id), conversations.is_some());
    Ok(respond(&BusinessPage::new(reader.frame(), subject, &shown.value, empty, conversations)))
}

/// Returns the name of a business, or its id if it has none.
pub(super) fn name(app: &App, business_id: &str) -> String {
    let profiles = app.store.profiles().current();
    let name = profiles.get(business_id).and_then(|profile| profile.name.clone());
    name.unwrap_or_else(|| business_id.to_owned())
}

/// Returns the current day in the time zone of a business.
pub(super) fn today(app: &App, business_id: &str) -> NaiveDate {
    app.store.profiles().current().day(business_id, app.clock.now())
}
