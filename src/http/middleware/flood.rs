//! The flood guard in front of the quotas: it keeps any one client from overloading the service with requests
//! that are rejected anyway.

use axum::extract::Request;
use axum::http::Method;
use axum::response::{IntoResponse, Response};

use super::guard::presented;
use super::quota_headers;
use super::request_context::RequestContext;
use crate::app::App;
use crate::auth::Principal;
use crate::http::error::ApiError;
use crate::quota::Decision;
use crate::security::Incident;

/// Returns the check of requests that are answered by a route, or rejected because there is none.
pub fn of_routes(app: App) -> impl Fn(&Request) -> Result<(), Box<Response>> + Clone {
    move |request| count(&app, request)
}

/// Returns the check of preflights, which are answered before they reach a route.
pub fn of_preflights(app: App) -> impl Fn(&Request) -> Result<(), Box<Response>> + Clone {
    move |request| if request.method() == Method::OPTIONS { count(&app, request) } else { Ok(()) }
}

/// Counts a request, and rejects it if its caller is over the limit. The holder of a key is determined here, for the guard of the
/// route as well.
fn count(app: &App, request: &Request) -> Result<(), Box<Response>> {
    let Some(flood) = &app.flood else { return Ok(()) };
    let context = RequestContext::of(request.extensions());
    let presented = presented(request.headers());
    let holder = app.access.holder(presented);
    let principal = holder.as_ref().unwrap_or(&Principal::Anyone);
    let (caller, key_id) = (principal.caller(context.client_ip()), principal.key_id());
    let caller = match principal {
        Principal::Anyone => app.access.verified_before(presented).unwrap_or(caller),
        _ => caller,
    };
    if let Some(holder) = holder {
        context.set_principal(holder);
    }
    let Err(wait) = flood.hit(&caller) else { return Ok(()) };
    let retry_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX).saturating_add(1);
    let closes_ms = app.clock.now().timestamp_millis().saturating_add(retry_ms);
    let window = flood.window();
    let decision = Decision { window, allowed: false, near: false, remaining: 0, closes_ms, retry_ms };
    let mut response = ApiError::Flooded(window, decision.retry_after_seconds()).into_response();
    quota_headers::write(response.headers_mut(), &decision);
    if let Some(incident) = response.extensions_mut().get_mut::<Incident>() {
        incident.made_by(caller, key_id);
    }
    Err(Box::new(response))
}
