//! The dashboard at `/`, rendered in the browser from `/health/detailed` and `/metrics` of the same origin.

use askama::Template;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderName, Method};
use axum::response::{Html, IntoResponse};

use super::error::ApiError;
use super::extract::Path;
use super::routes::{self, Access, Row};
use crate::app::App;

/// All resources come from the same origin, and none are inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Name, content type and content of the files that the dashboard and the privacy notice use.
const ASSETS: [(&str, &str, &str); 4] = [
    ("dashboard.css", "text/css; charset=utf-8", include_str!("../../templates/assets/dashboard.css")),
    ("dashboard.js", "text/javascript; charset=utf-8", include_str!("../../templates/assets/dashboard.js")),
    ("privacy.css", "text/css; charset=utf-8", include_str!("../../templates/assets/privacy.css")),
    ("icon.svg", "image/svg+xml", include_str!("../../templates/assets/icon.svg")),
];

#[derive(Template)]
#[template(path = "dashboard.html")]
struct DashboardPage {
    version: &'static str,
    environment: &'static str,
    endpoints: Vec<Endpoint>,
}

/// A row of the route table, as listed on the page.
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
            Access::Scope(scope) | Access::Personal(scope) => format!("API key, {}", scope.name()),
        };
        Self { method: row.method.clone(), path: row.path, access, link }
    }
}

/// `GET /`: returns the dashboard.
pub async fn page(app: App) -> impl IntoResponse {
    (policy(), Html(app.page.get_or_init(|| render(&app)).clone()))
}

fn render(app: &App) -> String {
    let rows = routes::table(app);
    let shown = rows.rows().iter().filter(|row| !row.path.starts_with("/assets/"));
    let page = DashboardPage {
        version: env!("CARGO_PKG_VERSION"),
        environment: app.config.environment.name(),
        endpoints: shown.map(Endpoint::from).collect(),
    };
    page.render().expect("its fields are plain text")
}

/// `GET /assets/{name}`: returns a file of the dashboard or the privacy notice.
pub async fn asset(Path(name): Path<String>) -> Result<impl IntoResponse, ApiError> {
    let found = ASSETS.into_iter().find(|(asset, ..)| *asset == name);
    let (_, content_type, content) = found.ok_or(ApiError::NoSuchRoute)?;
    Ok(([(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-cache")], content))
}

const fn policy() -> [(HeaderName, &'static str); 1] {
    [(CONTENT_SECURITY_POLICY, POLICY)]
}
