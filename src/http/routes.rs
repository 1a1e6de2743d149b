//! The route table: one row per route, with its access, its quota, its handler and its description.
//!
//! To add a route, add its row to [`table`]. Tests iterate over the rows, the dashboard lists them, and the API document is made of them.

mod mount;

pub use mount::Routes;

use axum::http::Method;

use super::analytics::conversations;
use super::analytics::list as analytics_list;
use super::openapi::{self, Doc};
use super::privacy::{consents, erase, export, requests};
use super::{
    analytics, assets, audit, businesses, dashboard, docs, health, keys, links, metrics, notice, outcomes,
    pages, probes, refresh, session, shared, track, track_batch,
};
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
    /// Returns what the API document says of it.
    pub doc: fn() -> Doc,
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
pub fn table() -> Routes {
    for_privacy(for_administrators(for_programs(for_people(Routes::default()))))
}

/// Adds the rows of what the receptionist app, monitoring and scripts call.
fn for_programs(routes: Routes) -> Routes {
    use Access::Public;
    use QuotaOf::{Analytics, Health, HealthDetailed, Nobody, RefreshMetrics, Track};
    const TRACK: Access = Access::Scope(Scope::Track);
    const ANALYTICS: Access = Access::Scope(Scope::Analytics);
    const REFRESH: Access = Access::Scope(Scope::Refresh);
    routes
        .row(Method::GET, "/metrics", Public, Nobody, metrics::text, metrics::doc)
        .row(Method::GET, "/health", Public, Health, health::basic, health::doc::basic)
        .row(Method::GET, "/health/detailed", Public, HealthDetailed, health::detailed, health::doc::detailed)
        .row(Method::GET, "/health/live", Public, Nobody, probes::live, probes::live_doc)
        .row(Method::GET, "/health/ready", Public, Nobody, probes::ready, probes::ready_doc)
        .row(Method::POST, "/track", TRACK, Track, track::track, track::doc)
        .row(Method::POST, "/track/batch", TRACK, Track, track_batch::track, track_batch::doc)
        .row(Method::POST, "/outcomes", TRACK, Track, outcomes::post, outcomes::doc)
        .row(Method::GET, "/analytics", ANALYTICS, Analytics, analytics_list::businesses, analytics_list::doc)
        .row(
            Method::GET,
            "/analytics/{business_id}",
            ANALYTICS,
            Analytics,
            analytics::of_business,
            analytics::doc,
        )
        .row(
            Method::GET,
            "/analytics/{business_id}/conversations",
            ANALYTICS,
            Analytics,
            conversations::conversations,
            conversations::doc,
        )
        .row(Method::POST, "/refresh-metrics", REFRESH, RefreshMetrics, refresh::refresh, refresh::doc)
}

/// Adds the rows of what administrators call.
fn for_administrators(routes: Routes) -> Routes {
    use QuotaOf::Default;
    const ADMIN: Access = Access::Scope(Scope::Admin);
    routes
        .row(Method::GET, "/admin/keys", ADMIN, Default, keys::list, keys::doc::list)
        .row(Method::POST, "/admin/keys", ADMIN, Default, keys::create, keys::doc::create)
        .row(Method::POST, "/admin/keys/{id}/rotate", ADMIN, Default, keys::rotate, keys::doc::rotate)
        .row(Method::DELETE, "/admin/keys/{id}", ADMIN, Default, keys::revoke, keys::doc::revoke)
        .row(Method::GET, "/admin/businesses", ADMIN, Default, businesses::list, businesses::doc::list)
        .row(
            Method::GET,
            "/admin/businesses/{business_id}",
            ADMIN,
            Default,
            businesses::show,
            businesses::doc::show,
        )
        .row(
            Method::PUT,
            "/admin/businesses/{business_id}",
            ADMIN,
            Default,
            businesses::set,
            businesses::doc::set,
        )
        .row(Method::GET, "/admin/links", ADMIN, Default, links::list, links::doc::list)
        .row(Method::POST, "/admin/links", ADMIN, Default, links::create, links::doc::create)
        .row(Method::DELETE, "/admin/links/{id}", ADMIN, Default, links::revoke, links::doc::revoke)
        .row(Method::GET, "/admin/audit", Access::Personal(Scope::Admin), Default, audit::list, audit::doc)
}

/// Adds the rows of what concerns persons.
fn for_privacy(routes: Routes) -> Routes {
    use QuotaOf::Default;
    const PRIVACY: Access = Access::Personal(Scope::Privacy);
    routes
        .row(Method::POST, "/privacy/export", PRIVACY, Default, export::export, export::doc)
        .row(Method::POST, "/privacy/erase", PRIVACY, Default, erase::erase, erase::doc)
        .row(Method::GET, "/privacy/requests", PRIVACY, Default, requests::list, requests::doc::list)
        .row(Method::POST, "/privacy/requests", PRIVACY, Default, requests::note, requests::doc::note)
        .row(
            Method::POST,
            "/privacy/requests/{id}/extension",
            PRIVACY,
            Default,
            requests::extend,
            requests::doc::extend,
        )
        .row(Method::GET, "/privacy/consents", PRIVACY, Default, consents::list, consents::doc::list)
        .row(Method::POST, "/privacy/consents", PRIVACY, Default, consents::note, consents::doc::note)
        .row(
            Method::POST,
            "/privacy/consents/search",
            PRIVACY,
            Default,
            consents::search,
            consents::doc::search,
        )
}

/// Adds the rows of what people open in a browser.
fn for_people(routes: Routes) -> Routes {
    use Access::{Page, Public};
    use QuotaOf::{FloodOnly, Pages};
    routes
        .row(Method::GET, "/", Public, FloodOnly, dashboard::page, pages::doc::dashboard)
        .row(Method::GET, "/assets/{name}", Public, FloodOnly, assets::asset, assets::doc)
        .row(Method::GET, "/privacy", Public, FloodOnly, notice::page, pages::doc::notice)
        .row(Method::GET, "/openapi.json", Public, FloodOnly, openapi::json, openapi::doc)
        .row(Method::GET, "/docs", Public, FloodOnly, docs::index, docs::doc::index)
        .row(Method::GET, "/docs/{group}", Public, FloodOnly, docs::group, docs::doc::group)
        .row(Method::GET, "/businesses", Page, Pages, pages::businesses::page, pages::doc::businesses)
        .row(
            Method::GET,
            "/businesses/{business_id}",
            Page,
            Pages,
            pages::business::page,
            pages::doc::business,
        )
        .row(
            Method::GET,
            "/statement/{business_id}",
            Page,
            Pages,
            pages::statement::page,
            pages::doc::statement,
        )
        .row(Method::GET, "/shared/{link}", Public, Pages, shared::page, pages::doc::shared)
        .row(Method::POST, "/session", Public, Pages, session::begin, session::doc::begin)
        .row(Method::POST, "/session/end", Public, Pages, session::end, session::doc::end)
}
