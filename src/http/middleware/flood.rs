//! The flood guard in front of the quotas: it keeps any one client from overloading the service with requests
//! that are rejected anyway.

use axum::extract::Request;
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};

use super::guard::presented;
use super::quota_headers;
use super::request_context::RequestContext;
use crate::app::App;
use crate::auth::key::KeyId;
use crate::auth::{Caller, Principal};
use crate::http::error::ApiError;
use crate::http::site::Site;
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
    let (caller, key_id) = match context.is_page() {
        true => of_browser(app, request.headers(), context),
        false => of_program(app, request.headers(), context),
    };
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

/// Returns whose limit a request counts against, and the id of the key: of its key, of its token, or of its address.
fn of_program(app: &App, headers: &HeaderMap, context: &RequestContext) -> (Caller, Option<KeyId>) {
    let presented = presented(headers);
    let address = Caller::at(context.client_ip());
    let Some(holder) = app.access.holder(presented) else {
        return (app.access.verified_before(presented).unwrap_or(address), None);
    };
    let found = (holder.caller(context.client_ip()), holder.key_id());
    context.set_principal(holder);
    found
}

/// Returns the same for a page: of the key of a remembered session, or of the address.
fn of_browser(app: &App, headers: &HeaderMap, context: &RequestContext) -> (Caller, Option<KeyId>) {
    let cookie = Site::of(app, headers, context).and_then(|site| site.cookie(headers));
    let holder = cookie.and_then(|cookie| app.access.remembered_session(&cookie));
    let holder = holder.unwrap_or(Principal::Anyone);
    (holder.caller(context.client_ip()), holder.key_id())
}
