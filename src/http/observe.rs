//! The outermost layer: names the request, finds out where it came from, and measures it.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::{ConnectInfo, MatchedPath, Request};
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tower::{Service, ServiceExt};
use tracing::Instrument;
use uuid::Uuid;

use super::error::ApiError;
use crate::access::ClientIp;
use crate::app::App;
use crate::security::{Circumstances, Incident};

/// The header that names a request.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The route label of requests that match no route: a scanner must not mint series.
const UNMATCHED: &str = "unmatched";

/// The longest request id that is taken over from a caller.
const MAX_REQUEST_ID_BYTES: usize = 128;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The name of a request: the caller's own, if it is a sane one, else a new one.
#[derive(Debug, Clone)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// A new name.
    #[must_use]
    pub fn fresh() -> Self {
        let mut buffer = Uuid::encode_buffer();
        let id = Uuid::new_v4().hyphenated().encode_lower(&mut buffer);
        Self(HeaderValue::from_str(id).expect("a UUID is printable"))
    }

    fn of(headers: &HeaderMap) -> Self {
        let sane = |id: &&HeaderValue| {
            (1..=MAX_REQUEST_ID_BYTES).contains(&id.len())
                && id.as_bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte))
        };
        headers.get(X_REQUEST_ID).filter(sane).cloned().map_or_else(Self::fresh, Self)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// Gives a request its id, client address and log span, has it answered by `inner`, and counts the answer.
pub async fn observe<S>(app: App, inner: S, mut request: Request) -> Result<Response, Infallible>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    let begun = Instant::now();
    let id = RequestId::of(request.headers());
    let client = client_ip(&app, request.headers(), request.extensions());
    let method = method_label(request.method());
    let span = tracing::debug_span!("request", request_id = id.as_str(), method);
    request.extensions_mut().insert(client);
    request.extensions_mut().insert(id.clone());
    let mut response = inner.oneshot(request).instrument(span.clone()).await?;
    let took = begun.elapsed();
    let matched = response.extensions().get::<MatchedPath>();
    let route = matched.map_or(UNMATCHED, MatchedPath::as_str);
    app.metrics.observe_http(method, route, response.status().as_str(), took);
    if let Some(incident) = response.extensions().get::<Incident>() {
        let at = Circumstances { request_id: id.as_str(), client_ip: client, route };
        if !incident.shadow {
            app.metrics.count_security(incident.event);
        }
        app.security_log.write(*incident, at);
    }
    tracing::debug!(parent: &span, route, status = response.status().as_u16(), ?took, "answered");
    response.headers_mut().insert(X_REQUEST_ID, id.0);
    Ok(response)
}

/// Says which route an answer comes from, which whoever stands outside of the router does not know.
pub(super) fn name_route(answer: &mut Response, route: Option<MatchedPath>) {
    if let Some(route) = route {
        answer.extensions_mut().insert(route);
    }
}

/// Answers for what panics before it reaches a handler, whose own panics its guard catches.
pub async fn catch_panic<E>(answer: impl Future<Output = Result<Response, E>> + Send) -> Result<Response, E> {
    let answered = AssertUnwindSafe(answer).catch_unwind().await;
    answered.unwrap_or_else(|_panic| Ok(ApiError::Internal.into_response()))
}

fn client_ip(app: &App, headers: &HeaderMap, extensions: &Extensions) -> ClientIp {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |ConnectInfo(peer)| peer.ip());
    let lines = headers.get_all(X_FORWARDED_FOR).iter().map(|line| line.to_str().unwrap_or_default());
    app.proxies.client(peer, lines)
}

/// The method, one word for all that are not standard.
pub(super) const fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
