//! The service as callers see it. The onion stands below, outermost layer first; the routes in `routes.rs`.

pub mod analytics;
pub mod audit;
pub mod connection;
pub mod dashboard;
pub mod error;
pub mod extract;
pub mod flood;
pub mod guard;
pub mod health;
pub mod json;
pub mod keys;
pub mod metrics;
pub mod notice;
pub mod observe;
pub mod privacy;
pub mod probes;
pub mod refresh;
pub mod routes;
pub mod secure;
pub mod track;
pub mod track_batch;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, AUTHORIZATION, CONTENT_TYPE, ORIGIN,
    RETRY_AFTER, VARY,
};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::response::Response;
use tower::{Layer, Service, service_fn};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::app::App;
use crate::config::{Config, Origin};
use routes::Routes;

/// How long a browser may remember the answer to a preflight.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_mins(10);

/// The service: the onion around `routes`. Around the router as a whole, because a layer of the router is boxed, and copied
/// for every request.
pub fn service(
    app: &App,
    routes: Routes,
) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
    let is_open = app.config.origins().iter().any(Origin::is_any);
    let cors = cors(&app.config);
    let onion = Arc::new(Onion { app: app.clone(), router: routes.into_router(), cors, is_open });
    service_fn(move |request| {
        let onion = onion.clone();
        async move { Ok(observe::observe(&onion.app, request, |request| onion.answer(request)).await) }
    })
}

/// The layers below the outermost one.
#[derive(Debug)]
struct Onion {
    app: App,
    router: Router,
    cors: CorsLayer,
    /// Whether pages of all origins may call.
    is_open: bool,
}

impl Onion {
    async fn answer(&self, request: Request) -> Response {
        let mut router = self.router.clone();
        let mut inner = service_fn(move |request| observe::catch_panic(router.call(request)));
        // Most callers are no pages, and CORS is a good part of what the onion costs.
        let answered = if self.is_open || concerns_pages(&request) {
            self.cors.layer(inner).call(request).await.map(hide_from_strangers)
        } else {
            inner.call(request).await
        };
        let Ok(mut response) = answered;
        response.headers_mut().entry(VARY).or_insert(const { HeaderValue::from_static("origin") });
        secure::add_headers(&mut response, self.app.config.environment);
        response
    }
}

/// Takes away what scripts may read where no script of another origin may read anything.
fn hide_from_strangers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    if !headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
        headers.remove(ACCESS_CONTROL_EXPOSE_HEADERS);
    }
    response
}

/// Whether it comes from a page of another origin, or asks what such a page may do.
fn concerns_pages(request: &Request) -> bool {
    request.method() == Method::OPTIONS || request.headers().contains_key(ORIGIN)
}

/// What the second listener serves: `/metrics` and nothing else.
pub fn metrics_routes(app: &App) -> Routes {
    use routes::{Access, QuotaOf};
    Routes::new(app).row(Method::GET, "/metrics", Access::Public, QuotaOf::Nobody, metrics::text)
}

fn cors(config: &Config) -> CorsLayer {
    let origins = config.origins();
    let allowed = if origins.iter().any(Origin::is_any) {
        AllowOrigin::any()
    } else {
        let values = origins.iter().filter_map(|origin| HeaderValue::from_str(origin.as_str()).ok());
        AllowOrigin::list(values)
    };
    let idempotency_key = HeaderName::from_static("idempotency-key");
    let read = [observe::X_REQUEST_ID, RETRY_AFTER].into_iter().chain(guard::QUOTA_HEADERS);
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
        .allow_headers([
            AUTHORIZATION,
            CONTENT_TYPE,
            guard::X_API_KEY,
            idempotency_key,
            observe::X_REQUEST_ID,
        ])
        .expose_headers(read.collect::<Vec<_>>())
        .max_age(PREFLIGHT_MAX_AGE)
}
