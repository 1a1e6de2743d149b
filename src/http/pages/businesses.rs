//! The page that lists businesses.

use axum::response::Response;
use serde::Deserialize;

use super::page as respond;
use super::reader::{Reader, unavailable};
use crate::analytics::PeriodQuery;
use crate::analytics::list::{ListQuery, rows};
use crate::app::App;
use crate::http::analytics::list::sort;
use crate::http::error::ApiError;
use crate::http::extract::Query;
use crate::http::paging::number;
use crate::pages::businesses::{Asked, BusinessesPage, PAGE};

/// The highest number of a page: further down a list, a search finds more.
pub(super) const MAX_PAGE: u32 = 1_000;

/// The query string. A form sends empty values for what does not matter.
#[derive(Debug, Deserialize)]
pub struct BusinessesQuery {
    #[serde(flatten)]
    period: PeriodQuery,
    sort: Option<String>,
    search: Option<String>,
    page: Option<String>,
}

/// `GET /businesses`: returns the page that lists the businesses that the reader may see.
pub async fn page(
    app: App,
    reader: Reader,
    Query(query): Query<BusinessesQuery>,
) -> Result<Response, ApiError> {
    let zone = app.store.profiles().current().default_zone();
    let period = query.period.read(app.clock.now().with_timezone(&zone).date_naive())?;
    let search = query.search.as_deref().unwrap_or_default().trim();
    let asked = Asked {
        period: &period,
        sort: sort(query.sort.as_deref().filter(|sort| !sort.is_empty()))?,
        search,
        page: number("page", query.page.as_deref(), 1, 1..=MAX_PAGE)? as usize,
    };
    let list = ListQuery {
        period: &period,
        sort: asked.sort,
        search,
        after: None,
        skip: (asked.page - 1) * PAGE,
        limit: PAGE,
        own: reader.own.as_deref(),
    };
    let shown = rows(&app, list).await.map_err(|error| unavailable(&error))?;
    let (notices, first) = (reader.notices(&shown, zone), reader.first_event(None, false));
    Ok(respond(&BusinessesPage::new(reader.frame(), &reader.locale, asked, &shown.value, notices, first)))
}
