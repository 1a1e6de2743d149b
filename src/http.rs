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
use std::time::Duration;

use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::response::Response;
use tower::{Service, ServiceBuilder, service_fn};
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
    let inner = ServiceBuilder::new()
        .map_response(secure::add_headers(app.config.environment))
        .layer(cors(&app.config))
        .map_future(observe::catch_panic)
        .service(routes.into_router());
    let app = app.clone();
    service_fn(move |request| observe::observe(app.clone(), inner.clone(), request))
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
