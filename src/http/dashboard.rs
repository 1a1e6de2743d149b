//! The dashboard at `/`, rendered in the browser from `/health/detailed` and `/metrics` of the same origin.

use std::sync::OnceLock;

use askama::Template;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, Method};
use axum::response::Response;

use super::error::ApiError;
use super::pages;
use super::routes::{self, Access, Row};
use super::session::Visitor;
use super::site::Site;
use crate::app::App;

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
        endpoints: endpoints(),
    };
    let mut response = pages::page(&page);
    if let Some(site) = site.ok().filter(|_| is_over) {
        response.headers_mut().insert(SET_COOKIE, site.clear_cookie());
    }
    response
}

/// Returns the rows of the route table that the page lists.
fn endpoints() -> &'static [Endpoint] {
    static ENDPOINTS: OnceLock<Vec<Endpoint>> = OnceLock::new();
    ENDPOINTS.get_or_init(|| {
        let table = routes::table();
        let shown = table.rows().iter().filter(|row| !row.path.starts_with("/assets/"));
        shown.map(Endpoint::from).collect()
    })
}
