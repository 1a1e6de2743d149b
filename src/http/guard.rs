//! The guard in front of every route: who calls, what that allows, and whether the quota has room.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;

use super::error::ApiError;
use super::observe::method_label;
use super::routes::{Access, QuotaOf, Row};
use crate::access::{Caller, ClientIp, Denied, Presented, Principal, Unknown};
use crate::app::{App, Counted};
use crate::config::Mode;
use crate::key::KeyId;
use crate::quota::{Decision, Quota};
use crate::security::Incident;

/// How long a request may take to arrive and be answered. Whatever neighbour hangs, handlers answer within 3 s; what
/// takes longer is a body that trickles in.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// Headers that the guard and the layers around it add.
const EXPECTED_HEADERS: usize = 16;

/// Failed attempts are counted under this, whatever their route.
const FAILURES: (&str, &str) = ("auth", "failures");

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
    method: &'static str,
    path: &'static str,
    access: Access,
    quota: Option<Quota>,
    has_tiers: bool,
}

/// What becomes of a request before its handler.
#[derive(Debug)]
pub struct Admission {
    /// Who makes it, or why it is refused.
    pub verdict: Result<Principal, ApiError>,
    /// What the quota says of it.
    pub decision: Option<Decision>,
    /// The public id of the key that it presents.
    pub key: Option<KeyId>,
    /// Whether it passes a quota that is used up, because quotas are not enforced.
    pub shadowed: bool,
}

/// Lets a request through to its handler, or refuses it.
pub async fn check(State(policy): State<Policy>, mut request: Request, next: Next) -> Response {
    let ip = *request.extensions().get::<ClientIp>().expect("the request was observed before");
    let admission = policy.admit(presented(request.headers()), ip).await;
    let answer = match admission.verdict {
        Ok(principal) => {
            request.extensions_mut().insert(principal);
            policy.run(request, next).await
        }
        Err(error) => Err(error),
    };
    let mut response = answer.unwrap_or_else(IntoResponse::into_response);
    if response.status() == StatusCode::UNAUTHORIZED && policy.app.access.tokens().is_some() {
        response.headers_mut().entry(WWW_AUTHENTICATE).or_insert(HeaderValue::from_static("Bearer"));
    }
    if admission.shadowed && response.extensions().get::<Incident>().is_none() {
        response.extensions_mut().insert(Incident::shadow());
    }
    if let Some(incident) = response.extensions_mut().get_mut::<Incident>() {
        incident.presented(admission.key);
    }
    // The layers around add a dozen more; growing the map step by step would hash them again each time.
    response.headers_mut().reserve(EXPECTED_HEADERS);
    if let Some(decision) = admission.decision {
        stamp(response.headers_mut(), &decision);
    }
    response
}

fn presented(headers: &HeaderMap) -> Presented<'_> {
    let value = |name: HeaderName| headers.get(name).map(AsRef::as_ref);
    Presented { api_key: value(X_API_KEY), authorization: value(AUTHORIZATION) }
}

impl Policy {
    /// The policy of `row`, which stands at `route` in the table.
    #[must_use]
    pub fn new(app: &App, row: &Row) -> Self {
        let quota = row.quota.quota(&app.config).cloned();
        let has_tiers = row.quota == QuotaOf::Track;
        let method = method_label(&row.method);
        Self { app: app.clone(), method, path: row.path, access: row.access, quota, has_tiers }
    }

    /// Decides about a request that presents this and comes from `ip`. An attempt without a valid key counts against
    /// the quota of its address, so that guessing keys runs into 429 and never uses up that of a caller who has one.
    pub async fn admit(&self, presented: Presented<'_>, ip: ClientIp) -> Admission {
        let recognised = match (self.app.access.recognise(presented), self.access) {
            (Ok(principal), _) => Ok(principal),
            (Err(_), Access::Public) => Ok(Principal::Anyone),
            (Err(_), Access::Scope(_)) if !self.app.access.is_required() => Ok(Principal::Anyone),
            (Err(denied), Access::Scope(_)) => self.appeal(denied, ip).await,
        };
        let (caller, quota, key) = match &recognised {
            Ok(principal) => (principal.caller(ip), self.quota_of(principal), principal.key_id()),
            Err(Refused { decision: Some(decision), error, key }) => {
                return Admission {
                    verdict: Err(error.clone()),
                    decision: Some(*decision),
                    key: *key,
                    shadowed: false,
                };
            }
            Err(refused) => (Caller::at(ip), self.quota.as_ref(), refused.key),
        };
        let decision = match quota {
            Some(quota) => Some(self.hit((self.method, self.path), caller, quota).await),
            None => None,
        };
        let used_up = decision.filter(|decision| !decision.allowed);
        let shadowed = used_up.is_some() && self.is_shadow();
        let verdict = match used_up.filter(|_| !shadowed) {
            Some(refused) => Err(ApiError::QuotaExceeded(refused.window, refused.retry_after_seconds())),
            None => {
                recognised.map_err(|refused| refused.error).and_then(|principal| self.authorise(principal))
            }
        };
        Admission { verdict, decision, key, shadowed }
    }

    /// Counts a failed attempt of `ip`. Unless there were too many, a key that memory does not know is looked up. An
    /// issuer's keys are fetched once a minute at most, so nobody needs to be kept from that.
    async fn appeal(&self, mut denied: Denied, ip: ClientIp) -> Result<Principal, Refused> {
        if let Denied::Unknown(token @ Unknown::Token(_)) = denied {
            match self.app.access.look_up(token).await {
                Ok(principal) => return Ok(principal),
                Err(why) => denied = why,
            }
        }
        if let Some(quota) = self.app.config.rate_limit_auth_failures.get() {
            let failures = self.hit(FAILURES, Caller::at(ip), quota).await;
            if !failures.allowed && !self.is_shadow() {
                let error = ApiError::Throttled(failures.window, failures.retry_after_seconds());
                return Err(Refused { error, decision: Some(failures), key: None });
            }
        }
        let denied = match denied {
            Denied::Unknown(key) => match self.app.access.look_up(key).await {
                Ok(principal) => return Ok(principal),
                Err(denied) => denied,
            },
            denied => denied,
        };
        Err(Refused::from(denied))
    }

    fn authorise(&self, principal: Principal) -> Result<Principal, ApiError> {
        match (self.access, &principal) {
            (Access::Scope(scope), Principal::Anyone) if !principal.has(scope) => {
                Err(ApiError::AuthenticationOff)
            }
            (Access::Scope(scope), Principal::Token(_)) if !principal.has(scope) => {
                Err(ApiError::TokenScopeLacking(scope))
            }
            (Access::Scope(scope), _) if !principal.has(scope) => Err(ApiError::ScopeLacking(scope)),
            _ => Ok(principal),
        }
    }

    /// The quota of the route, or of the tier.
    fn quota_of(&self, principal: &Principal) -> Option<&Quota> {
        let tier = principal.tier().filter(|_| self.has_tiers);
        match tier.and_then(|tier| self.app.config.tiers.get(tier)) {
            Some(quota) => quota.get(),
            None => self.quota.as_ref(),
        }
    }

    async fn hit(
        &self,
        (method, path): (&'static str, &'static str),
        caller: Caller,
        quota: &Quota,
    ) -> Decision {
        let now_ms = self.app.clock.now().timestamp_millis();
        let decision = self.app.limits.hit(Counted { method, path, caller }, quota, now_ms).await;
        if decision.near {
            self.app.metrics.count_near(self.path);
        }
        if !decision.allowed && self.is_shadow() {
            self.app.metrics.count_shadow(self.path);
        }
        decision
    }

    /// Whether quotas are counted only.
    fn is_shadow(&self) -> bool {
        self.app.config.rate_limit_mode == Mode::Shadow
    }

    /// Runs the handler, and answers for it when it panics or takes too long. A protected route is refused when more
    /// requests are being answered already than the service takes on; public ones, probes among them, are not.
    async fn run(&self, request: Request, next: Next) -> Result<Response, ApiError> {
        let permit = self.app.in_flight.try_acquire();
        if permit.is_err() && self.access != Access::Public {
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
}

/// A failed attempt.
struct Refused {
    error: ApiError,
    /// What the quota of failed attempts says, if it is used up.
    decision: Option<Decision>,
    key: Option<KeyId>,
}

impl From<Denied> for Refused {
    fn from(denied: Denied) -> Self {
        let (error, key) = match denied {
            Denied::Missing => (ApiError::KeyMissing, None),
            Denied::Invalid(key) => (ApiError::KeyInvalid, key),
            Denied::Unknown(_) => (ApiError::KeyInvalid, None),
            Denied::Expired(key) => (ApiError::KeyExpired, Some(key)),
            Denied::BadToken(why) => (ApiError::TokenInvalid(why), None),
            Denied::ExpiredToken => (ApiError::TokenExpired, None),
            Denied::Unavailable(why) => (ApiError::NotReady(why), None),
        };
        Self { error, decision: None, key }
    }
}

/// Writes the quota's headers.
pub fn stamp(headers: &mut HeaderMap, decision: &Decision) {
    headers.insert(LIMIT, decision.window.limit.into());
    headers.insert(REMAINING, decision.remaining.into());
    headers.insert(RESET, decision.reset_seconds().into());
}
