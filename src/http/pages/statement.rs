//! The monthly statement of a business.

use axum::response::Response;
use serde::Deserialize;

use super::business::sheets::sheet;
use super::business::{name, today};
use super::page as respond;
use super::reader::{Reader, unavailable};
use crate::analytics::statement::{StatementMonth, statement};
use crate::app::App;
use crate::http::error::ApiError;
use crate::http::extract::{BusinessId, Query};
use crate::pages::sentence;
use crate::pages::statement::{StatementPage, Subject};

/// The query string.
#[derive(Debug, Deserialize)]
pub struct StatementQuery {
    month: Option<String>,
    /// Which figures of the page to return as CSV.
    csv: Option<String>,
}

/// `GET /statement/{business_id}`: returns the statement of a month, by default of the last one that is over.
pub async fn page(
    app: App,
    reader: Reader,
    business_id: BusinessId,
    Query(query): Query<StatementQuery>,
) -> Result<Response, ApiError> {
    show(&app, &reader, business_id.as_str(), query.month.as_deref(), query.csv.as_deref()).await
}

/// Returns the statement of a month, such as `2026-10`.
pub(in crate::http) async fn show(
    app: &App,
    reader: &Reader,
    business_id: &str,
    month: Option<&str>,
    csv: Option<&str>,
) -> Result<Response, ApiError> {
    let today = today(app, business_id);
    let month = StatementMonth::read(month.filter(|month| !month.is_empty()), today)?;
    let shown = statement(app, reader.own.as_deref(), business_id, month).await;
    let shown = shown.map_err(|error| unavailable(&error))?;
    if let Some(what) = csv {
        return sheet(what, business_id, &shown.value.page);
    }
    let (locale, period) = (&reader.locale, month.period());
    let zone = app.store.profiles().current().zone(business_id);
    let weeks = period.shift() / 7;
    let subject = Subject {
        business_id: (!reader.is_guest).then_some(business_id),
        name: name(app, business_id),
        today,
        sentence: shown.value.page.notable.as_ref().map(|notable| sentence(locale, notable, weeks)),
        notices: reader.notices(&shown, zone),
        made: format!("Figures of {}.", reader.time(shown.as_of, zone)),
        period: &period,
        locale,
    };
    let empty = reader.first_event(Some(business_id), true);
    Ok(respond(&StatementPage::new(reader.frame(), subject, &shown.value, empty)))
}
