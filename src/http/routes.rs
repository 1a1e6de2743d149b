//! The route table: one row per route, with its access, its quota and its handler.
//!
//! To add a route, add its row to [`table`]. Tests iterate over the rows, and the dashboard lists them.

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, on};

use super::analytics::conversations;
use super::middleware::compression;
use super::middleware::flood;
use super::middleware::gate::Gate;
use super::middleware::guard::{self, Policy};
use super::privacy::{consents, erase, export, requests};
use super::{
    analytics, assets, audit, businesses, dashboard, error::ApiError, health, keys, links, metrics, notice,
    outcomes, pages, probes, refresh, session, shared, track, track_batch,
};
use crate::app::App;
use crate::auth::key::Scope;
use crate::config::{Config, Limit};
use crate::quota::Quota;

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone.
    Public,
    /// Holders of a key or a token with this scope.
    Scope(Scope),
    /// Like [`Access::Scope`], for personal data: if authentication is off, no one, unless
    /// `ALLOW_UNAUTHENTICATED_PRIVACY` is set.
    Personal(Scope),
    /// Browsers that are signed in with a key with the scope `analytics`; anyone if authentication is off. Only these routes look at
    /// the cookie, and they take no key or token.
    Page,
}

/// Which quota a route has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaOf {
    /// None, and no flood limit either: Prometheus and probes must always get an answer.
    Nobody,
    /// None but the flood limit.
    FloodOnly,
    /// `RATE_LIMIT_HEALTH`
    Health,
    /// `RATE_LIMIT_HEALTH_DETAILED`
    HealthDetailed,
    /// `RATE_LIMIT_TRACK`
    Track,
    /// `RATE_LIMIT_ANALYTICS`
    Analytics,
    /// `RATE_LIMIT_REFRESH_METRICS`
    RefreshMetrics,
    /// `RATE_LIMIT_PAGES`, of routes for people in a browser: see [`Row::is_page`].
    Pages,
    /// `RATE_LIMIT_DEFAULT`
    Default,
}

impl QuotaOf {
    /// Returns the configured quota; `None` if there is none or it is off.
    #[must_use]
    pub const fn quota(self, config: &Config) -> Option<&Quota> {
        let limit: &Limit<Quota> = match self {
            Self::Nobody | Self::FloodOnly => return None,
            Self::Health => &config.rate_limit_health,
            Self::HealthDetailed => &config.rate_limit_health_detailed,
            Self::Track => &config.rate_limit_track,
            Self::Analytics => &config.rate_limit_analytics,
            Self::RefreshMetrics => &config.rate_limit_refresh_metrics,
            Self::Pages => &config.rate_limit_pages,
            Self::Default => &config.rate_limit_default,
        };
        limit.get()
    }
}

/// A row of the table.
#[derive(Debug, Clone)]
pub struct Row {
    /// The method; `GET` includes `HEAD`.
    pub method: Method,
    /// The pattern of the path.
    pub path: &'static str,
    /// Who may use it.
    pub access: Access,
    /// Its quota.
    pub quota: QuotaOf,
}

impl Row {
    /// Returns whether it is for people: its errors are pages, not JSON.
    #[must_use]
    pub fn is_page(&self) -> bool {
        self.quota == QuotaOf::Pages
    }

    /// Returns whether it returns pages or what pages load, which are compressed. JSON and metrics are not.
    fn is_compressed(&self) -> bool {
        self.is_page() || self.quota == QuotaOf::FloodOnly
    }
}

/// Returns the routes of the service.
#[must_use]
pub fn table(app: &App) -> Routes {
    use Access::Public;
    use QuotaOf::{Analytics, Default, Health, HealthDetailed, Nobody, RefreshMetrics, Track};
    const TRACK: Access = Access::Scope(Scope::Track);
    const ANALYTICS: Access = Access::Scope(Scope::Analytics);
    const REFRESH: Access = Access::Scope(Scope::Refresh);
    const ADMIN: Access = Access::Scope(Scope::Admin);
    const PRIVACY: Access = Access::Personal(Scope::Privacy);
    for_people(Routes::new(app))
        .row(Method::GET, "/metrics", Public, Nobody, metrics::text)
        .row(Method::GET, "/health", Public, Health, health::basic)
        .row(Method::GET, "/health/detailed", Public, HealthDetailed, health::detailed)
        .row(Method::GET, "/health/live", Public, Nobody, probes::live)
        .row(Method::GET, "/health/ready", Public, Nobody, probes::ready)
        .row(Method::POST, "/track", TRACK, Track, track::track)
        .row(Method::POST, "/track/batch", TRACK, Track, track_batch::track)
        .row(Method::POST, "/outcomes", TRACK, Track, outcomes::post)
        .row(Method::GET, "/analytics", ANALYTICS, Analytics, analytics::list::businesses)
        .row(Method::GET, "/analytics/{business_id}", ANALYTICS, Analytics, analytics::of_business)
        .row(
            Method::GET,
            "/analytics/{business_id}/conversations",
            ANALYTICS,
            Analytics,
            conversations::conversations,
        )
        .row(Method::POST, "/refresh-metrics", REFRESH, RefreshMetrics, refresh::refresh)
        .row(Method::GET, "/admin/keys", ADMIN, Default, keys::list)
        .row(Method::POST, "/admin/keys", ADMIN, Default, keys::create)
        .row(Method::POST, "/admin/keys/{id}/rotate", ADMIN, Default, keys::rotate)
        .row(Method::DELETE, "/admin/keys/{id}", ADMIN, Default, keys::revoke)
        .row(Method::GET, "/admin/businesses", ADMIN, Default, businesses::list)
        .row(Method::GET, "/admin/businesses/{business_id}", ADMIN, Default, businesses::show)
        .row(Method::PUT, "/admin/businesses/{business_id}", ADMIN, Default, businesses::set)
        .row(Method::GET, "/admin/links", ADMIN, Default, links::list)
        .row(Method::POST, "/admin/links", ADMIN, Default, links::create)
        .row(Method::DELETE, "/admin/links/{id}", ADMIN, Default, links::revoke)
        .row(Method::GET, "/admin/audit", Access::Personal(Scope::Admin), Default, audit::list)
        .row(Method::POST, "/privacy/export", PRIVACY, Default, export::export)
        .row(Method::POST, "/privacy/erase", PRIVACY, Default, erase::erase)
        .row(Method::GET, "/privacy/requests", PRIVACY, Default, requests::list)
        .row(Method::POST, "/privacy/requests", PRIVACY, Default, requests::note)
        .row(Method::POST, "/privacy/requests/{id}/extension", PRIVACY, Default, requests::extend)
        .row(Method::GET, "/privacy/consents", PRIVACY, Default, consents::list)
        .row(Method::POST, "/privacy/consents", PRIVACY, Default, consents::note)
        .row(Method::POST, "/privacy/consents/search", PRIVACY, Default, consents::search)
}

/// Adds the rows of what people open in a browser.
fn for_people(routes: Routes) -> Routes {
    use Access::{Page, Public};
    use QuotaOf::{FloodOnly, Pages};
    routes
        .row(Method::GET, "/", Public, FloodOnly, dashboard::page)
        .row(Method::GET, "/assets/{name}", Public, FloodOnly, assets::asset)
        .row(Method::GET, "/privacy", Public, FloodOnly, notice::page)
        .row(Method::GET, "/businesses", Page, Pages, pages::businesses::page)
        .row(Method::GET, "/businesses/{business_id}", Page, Pages, pages::business::page)
        .row(Method::GET, "/statement/{business_id}", Page, Pages, pages::statement::page)
        .row(Method::GET, "/shared/{link}", Public, Pages, shared::page)
        .row(Method::POST, "/session", Public, Pages, session::begin)
        .row(Method::POST, "/session/end", Public, Pages, session::end)
}

/// The table, as routers and as rows.
#[derive(Debug)]
pub struct Routes {
    app: App,
    rows: Vec<Row>,
    /// The paths of routes for people.
    pages: Vec<&'static str>,
    /// Routes with the flood guard.
    limited: Router<App>,
    /// Routes without it.
    exempt: Router<App>,
}

impl Routes {
    /// Creates a table without rows.
    #[must_use]
    pub fn new(app: &App) -> Self {
        let limited = Router::new().fallback(async || ApiError::NoSuchRoute);
        Self { app: app.clone(), rows: Vec::new(), pages: Vec::new(), limited, exempt: Router::new() }
    }

    /// Adds a row.
    #[must_use]
    pub fn row<H: Handler<T, App>, T: 'static>(
        mut self,
        method: Method,
        path: &'static str,
        access: Access,
        quota: QuotaOf,
        handler: H,
    ) -> Self {
        let row = Row { method, path, access, quota };
        let filter = MethodFilter::try_from(row.method.clone()).expect("the table uses standard methods");
        let policy = Arc::new(Policy::new(&self.app, &row));
        if row.is_page() {
            self.pages.push(path);
        }
        let mut methods = on(filter, handler.layer(from_fn_with_state(policy, guard::check)));
        if row.is_compressed() {
            methods = methods.layer(compression::layer());
        }
        match quota {
            QuotaOf::Nobody => self.exempt = self.exempt.route(path, methods),
            _ => self.limited = self.limited.route(path, methods),
        }
        self.rows.push(row);
        self
    }

    /// Returns the paths of routes for people.
    #[must_use]
    pub fn pages(&self) -> Arc<[&'static str]> {
        self.pages.as_slice().into()
    }

    /// Returns the rows.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Returns the router of these routes, with the flood guard around all but those of Prometheus and probes, and around unknown paths.
    pub fn into_router(self) -> Router {
        // Set before the guard is added, so that the guard covers unsupported methods too.
        let refuse = async || ApiError::MethodNotAllowed;
        let guard = Gate::new(flood::of_routes(self.app.clone()));
        let limited = self.limited.method_not_allowed_fallback(refuse).layer(guard);
        limited.merge(self.exempt.method_not_allowed_fallback(refuse)).with_state(self.app)
    }
}
