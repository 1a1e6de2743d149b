//! The flood guard in front of the quotas: it keeps any one client from overloading the service with requests
//! that are rejected anyway.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower::ServiceBuilder;
use tower_governor::{GovernorError, GovernorLayer};

use super::guard::X_API_KEY;
use super::quota_headers;
use super::request_context::RequestContext;
use crate::app::App;
use crate::auth::Principal;
use crate::http::error::ApiError;
use crate::quota::{Decision, Unit, Window};
use crate::security::{Incident, SecurityEvent};

/// Adds the flood guard, if there is a flood limit, to `routes`.
pub fn guard(routes: Router<App>, app: &App) -> Router<App> {
    let Some(flood) = &app.flood else { return routes };
    let window = Window { limit: flood.per_second, multiple: 1, unit: Unit::Second };
    let clock = app.clock.clone();
    let refuse = move |error: GovernorError| refusal(&error, window, clock.now().timestamp_millis());
    let limit = GovernorLayer::new(flood.config.clone()).error_handler(refuse);
    let middleware = ServiceBuilder::new()
        // Determines the caller that the limit is counted for.
        .layer(from_fn_with_state(app.clone(), recognise))
        .layer(limit);
    routes.layer(middleware)
}

/// Determines the holder of the key of a request, for the flood limit and for the guard of the route.
async fn recognise(app: App, mut request: Request, next: Next) -> Response {
    let context = RequestContext::of(request.extensions());
    let key = request.headers().get(X_API_KEY).map(AsRef::as_ref);
    let holder = key.and_then(|key: &[u8]| app.access.holder(key));
    let principal = holder.as_ref().unwrap_or(&Principal::Anyone);
    let (caller, key_id) = (principal.caller(context.client_ip()), principal.key_id());
    if let Some(holder) = holder {
        context.set_principal(holder);
    }
    request.extensions_mut().insert(caller);
    let mut response = next.run(request).await;
    let incident = response.extensions_mut().get_mut::<Incident>();
    if let Some(incident) = incident.filter(|incident| incident.event == SecurityEvent::FloodLimited) {
        incident.made_by(caller, key_id);
    }
    response
}

/// Returns the response to a rejected request. It reports the flood limit in the same headers as a quota.
fn refusal(error: &GovernorError, window: Window, now_ms: i64) -> Response<Body> {
    let GovernorError::TooManyRequests { wait_time, .. } = error else {
        return ApiError::Internal.into_response();
    };
    // The layer rounds the time down to whole seconds; one more second is always enough.
    let retry_ms = i64::try_from(*wait_time).unwrap_or(0) * 1_000 + 1_000;
    let decision = Decision {
        window,
        allowed: false,
        near: false,
        remaining: 0,
        closes_ms: now_ms + retry_ms,
        retry_ms,
    };
    let mut response = ApiError::Flooded(window, decision.retry_after_seconds()).into_response();
    quota_headers::write(response.headers_mut(), &decision);
    response
}
