//! `/shared/{link}`: pages that links open without signing in.

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::error::ApiError;
use super::extract::{Path, Query};
use super::pages;
use super::pages::reader::Reader;
use crate::app::App;
use crate::auth::key::SecretHash;
use crate::link::{LinkedPage, Month};

/// The answer to everything that is no link that works, so that nobody learns which links there are.
const NO_LINK: ApiError = ApiError::NotFound("There is no page here");

/// What a link opens: one page of one business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// The business.
    pub business_id: String,
    /// Which of its pages.
    pub page: LinkedPage,
    /// The month that the page shows; always set for a statement.
    pub month: Option<Month>,
}

/// The query string.
#[derive(Debug, Deserialize)]
pub struct SharedQuery {
    csv: Option<String>,
}

/// `GET /shared/{link}`: returns the page that a link opens. Whatever is presented is hashed and looked up, so that links that do
/// not work all take the same work.
pub async fn page(
    app: App,
    reader: Reader,
    Path(secret): Path<String>,
    Query(query): Query<SharedQuery>,
) -> Result<Response, ApiError> {
    let secret = SecretHash(Sha256::digest(secret).into());
    let link = app.store.linked(&secret).await.map_err(|error| {
        tracing::error!("cannot look up a link: {error}");
        ApiError::StoreUnavailable
    })?;
    let link = link.filter(|link| link.is_active(app.clock.now())).ok_or(NO_LINK)?;
    let shared = Shared { business_id: link.business_id, page: link.page, month: link.month };
    let mut response = render(&app, reader, shared, query.csv).await?;
    // Whoever has the address has the page: search engines should not keep it.
    let no_index = (HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex"));
    response.headers_mut().extend([no_index]);
    Ok(response)
}

async fn render(
    app: &App,
    reader: Reader,
    shared: Shared,
    csv: Option<String>,
) -> Result<Response, ApiError> {
    let reader = reader.into_guest(&shared.business_id);
    match shared.page {
        LinkedPage::Statement => {
            let month = shared.month.map(|month| month.to_string());
            pages::statement::show(app, &reader, &shared.business_id, month.as_deref(), csv.as_deref()).await
        }
        LinkedPage::Business => {
            let days = shared.month.map(|month| (month.first_day(), month.last_day()));
            pages::business::shared(app, &reader, &shared.business_id, days, csv).await
        }
    }
}
