//! The outermost layer: names the request, finds out where it came from, and measures it.

use std::future::{Future, poll_fn};
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::extract::{ConnectInfo, MatchedPath, Request};
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::error::ApiError;
use crate::app::App;
use crate::auth::{ClientIp, Principal};
use crate::security::{Circumstances, Incident};

/// The header that names a request.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The route label of requests that match no route: a scanner must not mint series.
const UNMATCHED: &str = "unmatched";

/// The longest request id that is taken over from a caller.
const MAX_REQUEST_ID_BYTES: usize = 128;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The name of a request: the caller's own, if it is a sane one, else a new one.
#[derive(Debug)]
pub struct RequestId(Name);

#[derive(Debug)]
enum Name {
    Own(HeaderValue),
    /// A UUID as text.
    New([u8; Hyphenated::LENGTH]),
}

impl RequestId {
    /// A new name.
    #[must_use]
    pub fn fresh() -> Self {
        let mut text = [0; Hyphenated::LENGTH];
        Uuid::new_v4().hyphenated().encode_lower(&mut text);
        Self(Name::New(text))
    }

    fn of(headers: &HeaderMap) -> Self {
        let sane = |id: &&HeaderValue| {
            (1..=MAX_REQUEST_ID_BYTES).contains(&id.len())
                && id.as_bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte))
        };
        headers.get(X_REQUEST_ID).filter(sane).map_or_else(Self::fresh, |id| Self(Name::Own(id.clone())))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Name::Own(id) => id.to_str().unwrap_or_default(),
            Name::New(text) => str::from_utf8(text).unwrap_or_default(),
        }
    }

    fn header(&self) -> HeaderValue {
        match &self.0 {
            Name::Own(id) => id.clone(),
            Name::New(text) => HeaderValue::from_bytes(text).expect("a UUID is printable"),
        }
    }
}

/// What the layers tell each other of a request.
#[derive(Debug, Clone)]
pub struct Trace(Arc<Traced>);

#[derive(Debug)]
struct Traced {
    id: RequestId,
    client: ClientIp,
    /// The route that answers it.
    route: OnceLock<MatchedPath>,
    principal: OnceLock<Principal>,
}

impl Trace {
    fn new(id: RequestId, client: ClientIp) -> Self {
        Self(Arc::new(Traced { id, client, route: OnceLock::new(), principal: OnceLock::new() }))
    }

    /// The trace of a request.
    ///
    /// # Panics
    ///
    /// If the request has not come through [`observe`].
    #[must_use]
    pub fn of(request: &Extensions) -> &Self {
        request.get().expect("the request was observed before")
    }

    /// The name of the request.
    #[must_use]
    pub fn request_id(&self) -> &str {
        self.0.id.as_str()
    }

    /// The address it came from.
    #[must_use]
    pub fn client_ip(&self) -> ClientIp {
        self.0.client
    }

    /// Notes who makes it, unless that is noted already.
    pub(super) fn made_by(&self, principal: Principal) {
        self.0.principal.get_or_init(|| principal);
    }

    /// Who makes it, as far as that is known yet.
    pub(super) fn recognised(&self) -> Option<&Principal> {
        self.0.principal.get()
    }

    /// Who makes it.
    ///
    /// # Panics
    ///
    /// If the guard has not let it through.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        self.recognised().expect("the guard knows who makes the request")
    }
}

/// Gives a request its id, client address and log span, has it answered by `answer`, and counts the answer.
pub async fn observe<F: Future<Output = Response>>(
    app: &App,
    mut request: Request,
    answer: impl FnOnce(Request) -> F,
) -> Response {
    let begun = Instant::now();
    let client = client_ip(app, request.headers(), request.extensions());
    let trace = Trace::new(RequestId::of(request.headers()), client);
    let id = &trace.0.id;
    let method = method_label(request.method());
    let span = tracing::debug_span!("request", request_id = id.as_str(), method);
    request.extensions_mut().insert(trace.clone());
    // It is large, and to instrument it would move it twice.
    let mut answer = pin!(answer(request));
    let mut response = poll_fn(|cx| span.in_scope(|| answer.as_mut().poll(cx))).await;
    let took = begun.elapsed();
    let route = trace.0.route.get().map_or(UNMATCHED, MatchedPath::as_str);
    app.metrics.observe_http(method, route, response.status().as_str(), took);
    if let Some(incident) = response.extensions().get::<Incident>() {
        let at = Circumstances { request_id: id.as_str(), client_ip: client, route };
        if !incident.shadow {
            app.metrics.count_security(incident.event);
        }
        app.security_log.write(*incident, at);
    }
    tracing::debug!(parent: &span, route, status = response.status().as_u16(), ?took, "answered");
    response.headers_mut().insert(X_REQUEST_ID, id.header());
    response
}

/// Notes which route a request came to, which whoever stands outside of the router does not see.
pub(super) fn name_route(request: &Extensions) {
    if let (Some(trace), Some(route)) = (request.get::<Trace>(), request.get::<MatchedPath>()) {
        trace.0.route.get_or_init(|| route.clone());
    }
}

/// Answers for what panics before it reaches a handler, whose own panics its guard catches.
pub async fn catch_panic<E>(answer: impl Future<Output = Result<Response, E>>) -> Result<Response, E> {
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
