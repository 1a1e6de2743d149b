//! The dashboard at `/`, rendered in the browser from `/health/detailed` and `/metrics` of the same origin.

use std::sync::{LazyLock, OnceLock};

use askama::Template;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, SET_COOKIE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::error::ApiError;
use super::extract::Path;
use super::pages;
use super::routes::{self, Access, Row};
use super::session::Visitor;
use super::site::Site;
use crate::app::App;

/// Name, content type and content of the files that the dashboard and the privacy notice use.
const ASSETS: [(&str, &str, &str); 5] = [
    ("dashboard.css", "text/css; charset=utf-8", include_str!("../../templates/assets/dashboard.css")),
    ("dashboard.js", "text/javascript; charset=utf-8", include_str!("../../templates/assets/dashboard.js")),
    ("pages.css", "text/css; charset=utf-8", include_str!("../../templates/assets/pages.css")),
    ("privacy.css", "text/css; charset=utf-8", include_str!("../../templates/assets/privacy.css")),
    ("icon.svg", "image/svg+xml", include_str!("../../templates/assets/icon.svg")),
];

#[derive(Template)]
#[template(path = "dashboard.html")]
struct DashboardPage {
    version: &'static str,
    environment: &'static str,
    visitor: Visitor,
    endpoints: &'static [Endpoint],
}

/// A row of the route table, as listed on the page.
#[derive(Debug)]
struct Endpoint {
    method: Method,
    path: &'static str,
    access: String,
    /// Whether the page links to it.
    link: bool,
}

impl From<&Row> for Endpoint {
    fn from(row: &Row) -> Self {
        let public = row.access == Access::Public;
        let link = public && row.method == Method::GET && !row.path.contains('{');
        let access = match row.access {
            Access::Public => "public".to_owned(),
            Access::Page => "signed in".to_owned(),
            Access::Scope(scope) | Access::Personal(scope) => format!("API key, {}", scope.name()),
        };
        Self { method: row.method.clone(), path: row.path, access, link }
    }
}

/// `GET /`: returns the dashboard, with the way to the other pages.
pub async fn page(app: App, site: Result<Site, ApiError>, headers: HeaderMap) -> Response {
    let visitor = match &site {
        Ok(site) => Visitor::of(&app, site, &headers).await,
        Err(_) => Visitor::SignedOut,
    };
    let is_over = visitor == Visitor::SessionOver;
    let page = DashboardPage {
        version: env!("CARGO_PKG_VERSION"),
        environment: app.config.environment.name(),
        visitor,
        endpoints: endpoints(&app),
    };
    let mut response = pages::page(&page);
    if let Some(site) = site.ok().filter(|_| is_over) {
        response.headers_mut().insert(SET_COOKIE, site.clear_cookie());
    }
    response
}

/// Returns the rows of the route table that the page lists. They are those of every [`App`].
fn endpoints(app: &App) -> &'static [Endpoint] {
    static ENDPOINTS: OnceLock<Vec<Endpoint>> = OnceLock::new();
    ENDPOINTS.get_or_init(|| {
        let table = routes::table(app);
        let shown = table.rows().iter().filter(|row| !row.path.starts_with("/assets/"));
        shown.map(Endpoint::from).collect()
    })
}

/// `GET /assets/{name}`: returns a file that pages load. Browsers keep it, and ask each time whether it has changed.
pub async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    let found = ASSETS.iter().zip(tags()).find(|((asset, ..), _)| *asset == name);
    let ((_, content_type, content), tag) = found.ok_or(ApiError::NoSuchRoute)?;
    let kept = [(CACHE_CONTROL, "no-cache"), (ETAG, tag.as_str())];
    if headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return Ok((StatusCode::NOT_MODIFIED, kept).into_response());
    }
    Ok((kept, [(CONTENT_TYPE, *content_type)], *content).into_response())
}

/// Returns the entity tags of [`ASSETS`]. They are weak, because a compressed file has the same.
fn tags() -> &'static [String] {
    static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| {
        let digest = |content: &str| hex::encode(&Sha256::digest(content)[..8]);
        ASSETS.iter().map(|(.., content)| format!("W/\"{}\"", digest(content))).collect()
    });
    &TAGS
}
