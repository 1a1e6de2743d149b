//! What layers and handlers know about a request besides the request itself.

use std::net::Ipv4Addr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::{Extensions, HeaderMap, HeaderName, Method};
use tower_http::request_id::RequestId;
use uuid::Uuid;

use super::guard::Accounting;
use super::http_metrics::method_label;
use super::request_id;
use crate::app::App;
use crate::auth::{ClientIp, Principal};
use crate::fair_share::{Share, Tenant};
use crate::http::connection::Connection;

/// The route of requests that match none, and of preflights, which are answered before they reach their
/// route.
const UNMATCHED: &str = "unmatched";

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The context of a request. Clones share it, so that outer layers see what inner ones add, even if the
/// response is lost to a panic.
#[derive(Debug, Clone)]
pub struct RequestContext(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    begun: Instant,
    method: &'static str,
    request_id: Option<RequestId>,
    /// The id in the audit trail, where the request id must not get there.
    audit_id: OnceLock<String>,
    client_ip: ClientIp,
    connection: Option<Connection>,
    route: Option<MatchedPath>,
    is_page: bool,
    principal: OnceLock<Principal>,
    accounting: OnceLock<Accounting>,
    held: OnceLock<[Share; 2]>,
}

impl RequestContext {
    /// Returns the function that adds the context of a request to its extensions; `pages` are the routes for people.
    pub fn attach(app: App, pages: Arc<[&'static str]>) -> impl Fn(Request) -> Request + Clone {
        move |mut request| {
            let context = Self::new(&app, &pages, &request);
            request.extensions_mut().insert(context);
            request
        }
    }

    fn new(app: &App, pages: &[&str], request: &Request) -> Self {
        let extensions = request.extensions();
        let matched = extensions.get::<MatchedPath>().filter(|_| request.method() != Method::OPTIONS);
        Self(Arc::new(Inner {
            begun: Instant::now(),
            method: method_label(request.method()),
            request_id: extensions.get().cloned(),
            audit_id: OnceLock::new(),
            client_ip: client_ip(app, request.headers(), extensions),
            connection: extensions.get().cloned(),
            is_page: matched.is_some_and(|route| pages.contains(&route.as_str())),
            route: matched.cloned(),
            principal: OnceLock::new(),
            accounting: OnceLock::new(),
            held: OnceLock::new(),
        }))
    }

    /// Returns the context of the request with these extensions.
    ///
    /// # Panics
    ///
    /// If no layer has attached one.
    #[must_use]
    pub fn of(request: &Extensions) -> &Self {
        request.get().expect("a layer attaches a context to every request")
    }

    /// Returns the time since the request was received.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.begun.elapsed()
    }

    /// Returns the method; `other` if it is not a standard one.
    #[must_use]
    pub fn method(&self) -> &'static str {
        self.0.method
    }

    /// Returns the request id.
    #[must_use]
    pub fn request_id(&self) -> &str {
        let id = self.0.request_id.as_ref();
        id.and_then(|id| id.header_value().to_str().ok()).unwrap_or_default()
    }

    /// Returns the id of the request in the audit trail: the request id if it is a UUID. A caller may write anything into
    /// another, and nothing leaves the trail again, so such a request has an id of its own there.
    #[must_use]
    pub fn audit_id(&self) -> &str {
        self.own_audit_id().unwrap_or_else(|| self.request_id())
    }

    /// Returns the id of the request in the audit trail if it differs from the request id.
    #[must_use]
    pub fn own_audit_id(&self) -> Option<&str> {
        let own = || self.0.audit_id.get_or_init(|| Uuid::new_v4().to_string()).as_str();
        (!request_id::is_uuid(self.request_id())).then(own)
    }

    /// Returns the IP address of the client.
    #[must_use]
    pub fn client_ip(&self) -> ClientIp {
        self.0.client_ip
    }

    /// Returns the pattern of the route; `unmatched` if there is none.
    #[must_use]
    pub fn route(&self) -> &str {
        self.0.route.as_ref().map_or(UNMATCHED, MatchedPath::as_str)
    }

    /// Returns whether the route is for people, whose errors are pages.
    #[must_use]
    pub fn is_page(&self) -> bool {
        self.0.is_page
    }

    /// Returns the connection; `None` for a request that came without one.
    #[must_use]
    pub fn connection(&self) -> Option<&Connection> {
        self.0.connection.as_ref()
    }

    /// Returns whether the connection has a seat that is kept for probes and for callers with a valid key, and the request has
    /// presented no such key.
    #[must_use]
    pub fn is_on_reserved_seat(&self) -> bool {
        let is_anyone = self.recognised().is_none_or(|principal| matches!(principal, Principal::Anyone));
        self.connection().is_some_and(Connection::is_reserved) && is_anyone
    }

    /// Returns for whom what is shared between callers is counted. Must not be called before the guard has admitted the request.
    #[must_use]
    pub fn tenant(&self) -> Tenant {
        let principal = self.principal();
        match principal.business() {
            Some(business) => Tenant::Business(business.to_owned()),
            None => Tenant::Caller(principal.caller(self.client_ip())),
        }
    }

    /// Holds what the request has taken until its response is made.
    pub fn hold(&self, taken: [Share; 2]) {
        self.0.held.get_or_init(|| taken);
    }

    /// Sets the principal, unless it is already set.
    pub(super) fn set_principal(&self, principal: Principal) {
        if let (Some(connection), false) = (self.connection(), matches!(principal, Principal::Anyone)) {
            connection.record_key();
        }
        self.0.principal.get_or_init(|| principal);
    }

    /// Returns the principal, if it is already known.
    #[must_use]
    pub fn recognised(&self) -> Option<&Principal> {
        self.0.principal.get()
    }

    /// Returns the principal.
    ///
    /// # Panics
    ///
    /// If the guard has not admitted the request.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        self.recognised().expect("the guard knows who makes the request")
    }

    /// Sets the accounting, unless it is already set.
    pub(super) fn set_accounting(&self, accounting: Accounting) {
        self.0.accounting.get_or_init(|| accounting);
    }

    /// Returns the accounting; `None` before the guard has decided.
    pub(super) fn accounting(&self) -> Option<&Accounting> {
        self.0.accounting.get()
    }
}

fn client_ip(app: &App, headers: &HeaderMap, extensions: &Extensions) -> ClientIp {
    let peer = extensions.get::<Connection>();
    let peer = peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |connection| connection.peer().ip());
    let lines = headers.get_all(X_FORWARDED_FOR).iter().map(|line| line.to_str().unwrap_or_default());
    app.proxies.client(peer, lines)
}
