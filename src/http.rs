//! The HTTP interface: the middleware stack below, around the routes of `routes.rs`.

pub mod analytics;
pub mod assets;
pub mod audit;
mod batch;
pub mod businesses;
pub mod connection;
pub mod dashboard;
pub mod docs;
pub mod error;
pub mod extract;
pub mod health;
pub mod keys;
pub mod links;
pub mod metrics;
pub mod middleware;
pub mod notice;
pub mod openapi;
pub mod outcomes;
pub mod pages;
mod paging;
pub mod privacy;
pub mod probes;
pub mod refresh;
pub mod routes;
pub mod session;
pub mod shared;
pub mod site;
mod tagged;
pub mod track;
pub mod track_batch;

use axum::Router;
use axum::http::header::CONNECTION;
use axum::http::response::Parts;
use axum::http::{HeaderValue, Method};
use axum::response::IntoResponse;
use tower::util::MapRequestLayer;
use tower::{Layer, ServiceBuilder};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};

use crate::app::App;
use middleware::drain::DrainLayer;
use middleware::error_pages::ErrorPages;
use middleware::gate::Gate;
use middleware::on_response::OnResponse;
use middleware::request_context::RequestContext;
use middleware::request_id::X_REQUEST_ID;
use middleware::{
    catch_panic, cors, flood, http_metrics, leading_slashes, quota_headers, request_id, security_events,
    security_headers, timeout, trace, well_formed,
};
use routes::Routes;

/// Returns `routes` with the middleware that every request goes through.
///
/// Inside this stack are the layers of the routes: the flood guard around all but those of Prometheus and probes, and the
/// guard of each row of the table; see [`Routes::into_router`] and [`Routes::row`]. Body sizes are limited by
/// the extractors, each with its own limit: [`extract`].
pub fn router(app: &App, routes: Routes) -> Router {
    // Requests go through the layers from top to bottom, responses from bottom to top. As layers of the
    // router they run after routing, so that all of them know the matched route.
    let middleware = ServiceBuilder::new()
        .map_request(request_id::remove_insane)
        .layer(SetRequestIdLayer::new(X_REQUEST_ID, MakeRequestUuid))
        .layer(PropagateRequestIdLayer::new(X_REQUEST_ID))
        // Outside the layers that measure: draining takes as long as the client sends.
        .layer(DrainLayer)
        // Needs the request id; the layers below read the context.
        .map_request(RequestContext::attach(app.clone(), routes.pages()))
        .layer(trace::layer())
        // Sees every response, including those that the layers below return instead of a handler.
        .layer(OnResponse::new(on_response(app.clone())))
        .map_response(security_headers::add(app.config.environment))
        // Sees the errors of all layers below.
        .layer(ErrorPages)
        // Outside the layer that responds to preflights.
        .layer(Gate::new(flood::of_preflights(app.clone())))
        .layer(Gate::new(well_formed::check(app.clone())))
        .map_response(cors::hide_from_other_origins)
        // Responds to preflights itself. Outside the layers below, so that pages of allowed origins can read
        // errors too.
        .layer(cors::layer(&app.config))
        .map_response(IntoResponse::into_response)
        .layer(CatchPanicLayer::custom(catch_panic::answer))
        .map_response(timeout::into_json)
        .layer(timeout::layer());
    let inner = routes.into_router(app).layer(middleware);
    // A path without a route is looked up again with one slash at its start.
    let again = MapRequestLayer::new(leading_slashes::collapse).layer(inner.clone());
    inner.fallback_service(again)
}

/// Returns the function that is called with each response and the context of its request.
fn on_response(app: App) -> impl Fn(&RequestContext, &mut Parts) + Clone {
    move |context, response| {
        quota_headers::add(context, response);
        security_events::record(&app, context, response);
        http_metrics::measure(&app, context, response);
        if context.is_on_reserved_seat() {
            response.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// Returns the routes of the second listener: `/metrics` and nothing else.
#[must_use]
pub fn metrics_routes() -> Routes {
    use routes::{Access, QuotaOf};
    Routes::default().row(
        Method::GET,
        "/metrics",
        Access::Public,
        QuotaOf::Nobody,
        metrics::text,
        metrics::doc,
    )
}
