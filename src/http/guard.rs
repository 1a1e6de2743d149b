//! The guard in front of every route: who calls, whether the quota has room, whether the key is valid.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;

use super::error::ApiError;
use super::observe::RequestId;
use super::routes::{Access, Row};
use crate::access::{Caller, ClientIp, Credential};
use crate::app::{App, RouteIndex};
use crate::quota::{Decision, Quota};

/// How long a request may take to arrive and be answered. Whatever neighbour hangs, handlers answer within 3 s; what
/// takes longer is a body that trickles in.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// Headers that the guard and the layers around it add.
const EXPECTED_HEADERS: usize = 16;

/// The header that carries an API key.
pub const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// The headers that tell a caller of its quota.
pub const QUOTA_HEADERS: [HeaderName; 3] = [LIMIT, REMAINING, RESET];

/// What the guard knows of its route.
#[derive(Debug, Clone)]
pub struct Policy {
    app: App,
    route: RouteIndex,
    path: &'static str,
    access: Access,
    quota: Option<Quota>,
}

impl Policy {
    /// The policy of `row`, which stands at `route` in the table.
    #[must_use]
    pub fn new(app: &App, route: RouteIndex, row: &Row) -> Self {
        let quota = row.quota.quota(&app.config).cloned();
        Self { app: app.clone(), route, path: row.path, access: row.access, quota }
    }
}

/// Lets a request through to its handler, or refuses it. An attempt without a valid key counts against the quota of
/// its address, so that guessing keys runs into 429 and never uses up the quota of a caller who has one.
pub async fn check(State(policy): State<Policy>, request: Request, next: Next) -> Response {
    let credential = policy.app.keys.check(request.headers().get(X_API_KEY).map(AsRef::as_ref));
    let ip = *request.extensions().get::<ClientIp>().expect("the request was observed before");
    let caller = match credential {
        Credential::Valid(index) => Caller::Key(index),
        Credential::Missing | Credential::Invalid => Caller::at(ip),
    };
    let decision = policy.decide(caller);
    let refusal = policy.refusal(credential);
    if let Some(error) = &refusal {
        log_refusal(&policy, &request, ip, error);
    }
    let mut response = match decision.filter(|decision| !decision.allowed) {
        Some(refused) => {
            ApiError::QuotaExceeded(refused.window, refused.retry_after_seconds()).into_response()
        }
        None => match refusal {
            Some(error) => error.into_response(),
            None => policy.run(request, next).await.unwrap_or_else(IntoResponse::into_response),
        },
    };
    // The layers around add a dozen more; growing the map step by step would hash them again each time.
    response.headers_mut().reserve(EXPECTED_HEADERS);
    if let Some(decision) = decision {
        stamp(response.headers_mut(), &decision);
    }
    response
}

impl Policy {
    /// Runs the handler, and answers for it when it panics or takes too long. A protected route is refused when more
    /// requests are being answered already than the service takes on; public ones, probes among them, are not.
    async fn run(&self, request: Request, next: Next) -> Result<Response, ApiError> {
        let permit = self.app.in_flight.try_acquire();
        if permit.is_err() && self.access == Access::Key {
            return Err(ApiError::Overloaded);
        }
        let handled = AssertUnwindSafe(next.run(request)).catch_unwind();
        match tokio::time::timeout(REQUEST_LIMIT, handled).await {
            Ok(Ok(response)) => Ok(response),
            // The panic hook has logged where.
            Ok(Err(_panic)) => Err(ApiError::Internal),
            Err(_elapsed) => Err(ApiError::TooSlow),
        }
    }

    fn decide(&self, caller: Caller) -> Option<Decision> {
        let quota = self.quota.as_ref()?;
        let now_ms = self.app.clock.now().timestamp_millis();
        Some(self.app.limiter.hit((self.route, caller), quota, now_ms))
    }

    fn refusal(&self, credential: Credential) -> Option<ApiError> {
        match (self.access, credential) {
            (Access::Public, _) | (Access::Key, Credential::Valid(_)) => None,
            (Access::Key, _) if !self.app.keys.are_required() => None,
            (Access::Key, Credential::Missing) => Some(ApiError::KeyMissing),
            (Access::Key, Credential::Invalid) => Some(ApiError::KeyInvalid),
        }
    }
}

/// Writes the quota's headers.
pub fn stamp(headers: &mut HeaderMap, decision: &Decision) {
    headers.insert(LIMIT, decision.window.limit.into());
    headers.insert(REMAINING, decision.remaining.into());
    headers.insert(RESET, decision.reset_seconds().into());
}

/// A security event: the one kind of log line that names an address.
fn log_refusal(policy: &Policy, request: &Request, ip: ClientIp, error: &ApiError) {
    let request_id = request.extensions().get::<RequestId>().map_or("", RequestId::as_str);
    let reason = if *error == ApiError::KeyMissing { "no API key" } else { "invalid API key" };
    tracing::warn!(
        target: "security", request_id, client_ip = %ip, route = policy.path, reason,
        "authentication failed: {reason}"
    );
}
