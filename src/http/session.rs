//! `/session`: signing in and out of the pages, with a key in a form and a cookie.

pub(super) mod doc;

use axum::Extension;
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::extract::{AnyBody, FormBody};
use super::middleware::guard::attempts;
use super::middleware::request_context::RequestContext;
use super::pages::{BUSINESSES, path_of_business};
use super::site::Site;
use crate::app::App;
use crate::auth::key::Scope;
use crate::auth::{ClientIp, Credentials, NoSession, Principal};
use crate::security::{Incident, SecurityEvent};
use crate::store::StoreError;

const HTTPS_NEEDED: ApiError = ApiError::Forbidden(
    "Signing in needs HTTPS: over this connection others could read your key. Open the address with https:// in front; if there \
     is none, whoever runs this service must put it behind a proxy with a certificate, and set PUBLIC_URL",
);

/// `POST /session`: begins a session of the holder of the key in the form, and leads to what the key may see.
pub async fn begin(
    app: App,
    site: Site,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
    form: FormBody,
) -> Result<Response, ApiError> {
    site.check_origin(&headers)?;
    if !app.access.is_required() {
        return Ok(see_other(BUSINESSES, None));
    }
    if !site.is_safe() {
        return Err(HTTPS_NEEDED);
    }
    let key = form.value("key").trim().as_bytes();
    let holder = holder(&app, key, context.client_ip()).await?;
    if !holder.has(Scope::Analytics) {
        return Err(ApiError::ScopeLacking(Scope::Analytics));
    }
    let cookie = app.access.begin_session(&holder, key).await.map_err(|error| unavailable(&error))?;
    if let Some(before) = site.cookie(&headers) {
        // Nobody can get at it any more. It is over in a few hours anyway.
        drop(app.access.sessions().end(&before).await);
    }
    let seconds = app.access.sessions().lifetime().num_seconds();
    let response = see_other(&opens(&holder), Some(site.set_cookie(&cookie, seconds)));
    let incident = Incident::new(SecurityEvent::SignedIn, holder.key_id());
    Ok((Extension(incident), response).into_response())
}

/// `POST /session/end`: ends the session of the browser.
pub async fn end(app: App, site: Site, headers: HeaderMap, _: AnyBody) -> Result<Response, ApiError> {
    site.check_origin(&headers)?;
    let was_there = match site.cookie(&headers) {
        Some(cookie) => app.access.sessions().end(&cookie).await.map_err(|error| unavailable(&error))?,
        None => false,
    };
    let incident = was_there.then(|| Extension(Incident::new(SecurityEvent::SignedOut, None)));
    Ok((incident, see_other("/", Some(site.clear_cookie()))).into_response())
}

/// Returns the holder of `key`. A wrong one counts as a failed attempt.
async fn holder(app: &App, key: &[u8], ip: ClientIp) -> Result<Principal, ApiError> {
    let presented = Credentials { api_key: Some(key), authorization: None };
    match app.access.recognise(presented) {
        Ok(holder) => Ok(holder),
        Err(denied) => attempts::appeal(app, denied, ip).await.map_err(|refused| refused.error),
    }
}

/// Returns the path of the page that a key opens.
fn opens(holder: &Principal) -> String {
    holder.business().map_or_else(|| BUSINESSES.to_owned(), path_of_business)
}

/// A browser that asks for the start page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visitor {
    /// Authentication is off: nobody needs to sign in.
    Anyone,
    /// It is not signed in.
    SignedOut,
    /// It was signed in, and is not any more.
    SessionOver,
    /// It is signed in; with the path of the page that its key opens.
    SignedIn(String),
}

impl Visitor {
    /// Returns the visitor who sent these headers.
    pub async fn of(app: &App, site: &Site, headers: &HeaderMap) -> Self {
        if !app.access.is_required() {
            return Self::Anyone;
        }
        let Some(cookie) = site.cookie(headers) else { return Self::SignedOut };
        match app.access.session(&cookie).await {
            Ok(holder) => Self::SignedIn(opens(&holder)),
            Err(NoSession::Over) => Self::SessionOver,
            Err(NoSession::Unavailable) => Self::SignedOut,
        }
    }
}

/// Returns a response that leads to a path of this service.
fn see_other(path: &str, cookie: Option<HeaderValue>) -> Response {
    let location = HeaderValue::try_from(path).expect("the path is percent-encoded");
    let headers = [(LOCATION, location)];
    let cookie: Option<[(HeaderName, HeaderValue); 1]> = cookie.map(|cookie| [(SET_COOKIE, cookie)]);
    (StatusCode::SEE_OTHER, headers, cookie.into_iter().flatten().collect::<HeaderMap>()).into_response()
}

fn unavailable(error: &StoreError) -> ApiError {
    tracing::error!("cannot begin or end a session: {error}");
    ApiError::StoreUnavailable
}
