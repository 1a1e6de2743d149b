//! `/shared/{link}`: pages that links open without signing in.

use askama::Template;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use sha2::{Digest, Sha256};

use super::error::ApiError;
use super::extract::Path;
use super::pages;
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

#[derive(Template)]
#[template(path = "shared.html")]
struct SharedPage {
    business_id: String,
    page: &'static str,
    month: String,
}

/// `GET /shared/{link}`: returns the page that a link opens. Whatever is presented is hashed and looked up, so that links that do
/// not work all take the same work.
pub async fn page(app: App, Path(secret): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    let secret = SecretHash(Sha256::digest(secret).into());
    let link = app.store.linked(&secret).await.map_err(|error| {
        tracing::error!("cannot look up a link: {error}");
        ApiError::StoreUnavailable
    })?;
    let link = link.filter(|link| link.is_active(app.clock.now())).ok_or(NO_LINK)?;
    let shared = Shared { business_id: link.business_id, page: link.page, month: link.month };
    let mut response = render(&app, &shared, &headers)?;
    // Whoever has the address has the page: search engines should not keep it.
    let no_index = (HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex"));
    response.headers_mut().extend([no_index]);
    Ok(response)
}

#[expect(clippy::unnecessary_wraps, reason = "the pages read the store, which may be away")]
fn render(_app: &App, shared: &Shared, _headers: &HeaderMap) -> Result<Response, ApiError> {
    Ok(pages::page(&SharedPage {
        business_id: shared.business_id.clone(),
        page: shared.page.name(),
        month: shared.month.map(|month| month.to_string()).unwrap_or_default(),
    }))
}
