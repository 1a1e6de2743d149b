//! The service as a browser sees it: its origin, and the cookie of a session.
//!
//! The origin is `PUBLIC_URL`; without it, the request's `Host`, with `https` if a trusted proxy says so in
//! `X-Forwarded-Proto`.

use axum::extract::FromRequestParts;
use axum::http::header::{COOKIE, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use url::{Host, Url};

use super::error::ApiError;
use super::middleware::request_context::RequestContext;
use crate::app::App;
use crate::auth::key::Secret;

/// The cookie over HTTPS. Browsers take this prefix only for a cookie that the very host has set over HTTPS for all of its paths
/// (RFC 6265bis, section 4.1.3.2), so that no subdomain can plant one.
const SECURE_COOKIE: &str = "__Host-mlops_session";

/// The cookie over plain HTTP on this machine.
const LOCAL_COOKIE: &str = "mlops_session";

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

const FOREIGN_FORM: ApiError = ApiError::Forbidden(
    "The form was sent from another address than that of this service. Open its start page and try again there; if it says so \
     again, PUBLIC_URL is to be set to the address in your browser, or the proxy is to be one of TRUSTED_PROXIES",
);

/// The service as the browser of a request sees it.
#[derive(Debug, Clone)]
pub struct Site(Url);

impl FromRequestParts<App> for Site {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let site = Self::of(app, &parts.headers, RequestContext::of(&parts.extensions));
        site.ok_or(ApiError::BadRequest("Send exactly one valid Host header"))
    }
}

impl Site {
    /// Returns the service as the browser sees it that sent these headers; `None` without a host.
    #[must_use]
    pub fn of(app: &App, headers: &HeaderMap, context: &RequestContext) -> Option<Self> {
        if let Some(public) = &app.config.public_url {
            return Some(Self(public.url().clone()));
        }
        let peer = context.connection().map(|connection| connection.peer().ip().to_canonical());
        let is_https = peer.is_some_and(|peer| app.proxies.trusts(peer)) && states_https(headers);
        let scheme = if is_https { "https" } else { "http" };
        let host = headers.get(HOST)?.to_str().ok()?;
        Url::parse(&format!("{scheme}://{host}/")).ok().map(Self)
    }

    /// Returns its origin, as browsers send it.
    #[must_use]
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// Checks that a form was sent from one of the service's own pages: no other page can make a browser send this `Origin`.
    pub fn check_origin(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let mut origins = headers.get_all(ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (Some(origin), None) if origin.as_bytes() == self.origin().as_bytes() => Ok(()),
            _ => Err(FOREIGN_FORM),
        }
    }

    /// Returns whether a key and a cookie may be sent to it: over HTTPS, or within this machine.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        self.is_https()
            || match self.0.host() {
                Some(Host::Domain(name)) => name == "localhost",
                Some(Host::Ipv4(address)) => address.is_loopback(),
                Some(Host::Ipv6(address)) => address.is_loopback(),
                None => false,
            }
    }

    fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    const fn cookie_name(is_https: bool) -> &'static str {
        if is_https { SECURE_COOKIE } else { LOCAL_COOKIE }
    }

    /// Returns the value of the session cookie in `headers`, if it has the form of one.
    #[must_use]
    pub fn cookie(&self, headers: &HeaderMap) -> Option<Secret> {
        if !self.is_safe() {
            return None;
        }
        let wanted = Self::cookie_name(self.is_https());
        let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut cookies = lines.flat_map(|line| line.split(';')).filter_map(|cookie| cookie.split_once('='));
        cookies.find_map(|(name, value)| (name.trim() == wanted).then(|| Secret::parse(value.trim()))?)
    }

    /// Returns the value of `Set-Cookie` that gives a browser the cookie for `seconds`.
    #[must_use]
    pub fn set_cookie(&self, cookie: &Secret, seconds: i64) -> HeaderValue {
        self.cookie_line(cookie.expose(), seconds)
    }

    /// Returns the value of `Set-Cookie` that takes the cookie from a browser.
    #[must_use]
    pub fn clear_cookie(&self) -> HeaderValue {
        self.cookie_line("", 0)
    }

    fn cookie_line(&self, value: &str, seconds: i64) -> HeaderValue {
        let (name, is_https) = (Self::cookie_name(self.is_https()), self.is_https());
        let secure = if is_https { "; Secure" } else { "" };
        let line = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
        let mut line = HeaderValue::try_from(line).expect("it is plain ASCII");
        line.set_sensitive(true);
        line
    }
}

/// Returns whether the nearest proxy received the request over HTTPS: it adds its own word at the end.
fn states_https(headers: &HeaderMap) -> bool {
    let last = headers.get_all(X_FORWARDED_PROTO).iter().next_back();
    let last = last.and_then(|line| line.to_str().ok()).and_then(|line| line.rsplit(',').next());
    last.is_some_and(|scheme| scheme.trim().eq_ignore_ascii_case("https"))
}
