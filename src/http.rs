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

use std::time::Duration;

use axum::Router;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::from_fn_with_state;
use tower::ServiceBuilder;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::app::App;
use crate::config::{Config, Origin};
use routes::Routes;

/// How long a browser may remember the answer to a preflight.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_mins(10);

/// The onion around `routes`.
pub fn service(app: &App, routes: Routes) -> Router {
    routes.into_router().layer(
        ServiceBuilder::new()
            .layer(from_fn_with_state(app.clone(), observe::observe))
            .map_response(secure::add_headers(app.config.environment))
            .layer(cors(&app.config))
            .map_future(observe::catch_panic),
    )
}

/// What the second listener serves: `/metrics` and nothing else.
pub fn metrics_service(app: &App) -> Router {
    let routes = Routes::new(app).row(
        Method::GET,
        "/metrics",
        routes::Access::Public,
        routes::QuotaOf::Nobody,
        metrics::text,
    );
    service(app, routes)
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
