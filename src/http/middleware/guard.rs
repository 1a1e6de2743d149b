//! The guard in front of every route: who calls, what that allows, and whether the quota has room.

mod refused;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::http_metrics::method_label;
use super::request_context::RequestContext;
use crate::app::{App, QuotaKey};
use crate::audit::Actor;
use crate::auth::key::{KeyId, Scope};
use crate::auth::{Caller, ClientIp, Credentials, Denied, Principal, Unknown};
use crate::config::Mode;
use crate::http::error::ApiError;
use crate::http::routes::{Access, QuotaOf, Row};
use crate::quota::{Decision, Quota};
use crate::security::SecurityEvent;
use refused::{Refused, Why};

/// What is counted: the method and the pattern of a route.
type Counter = (&'static str, &'static str);

/// Failed attempts are counted under this, whatever their route.
const FAILURES: Counter = ("any", "auth_failures");

/// The header that carries an API key.
pub const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What the guard knows of its route.
#[derive(Debug)]
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
    /// Who it counts for.
    pub accounting: Accounting,
}

/// Who a request counts for, and how.
#[derive(Debug, Clone, Copy)]
pub struct Accounting {
    /// Who it counts for.
    pub caller: Caller,
    /// The public id of the key that it presents.
    pub key: Option<KeyId>,
    /// What the quota says of it.
    pub decision: Option<Decision>,
    /// Whether it passes a quota that is used up, because quotas are not enforced.
    pub shadowed: bool,
}

/// The layer of a route: lets a request through to its handler, or refuses it.
pub async fn check(State(policy): State<Arc<Policy>>, request: Request, next: Next) -> Response {
    let context = RequestContext::of(request.extensions());
    // The flood guard has recognised who holds a key.
    let recognised = match context.recognised() {
        Some(holder) => Ok(holder.clone()),
        None => policy.app.access.recognise(presented(request.headers())),
    };
    let admission = policy.admit(recognised, context.client_ip()).await;
    policy.note_refusal(&admission, context.request_id());
    context.set_accounting(admission.accounting);
    match admission.verdict {
        Ok(principal) => {
            context.set_principal(principal);
            policy.run(request, next).await.unwrap_or_else(IntoResponse::into_response)
        }
        Err(error) => policy.refuse(error),
    }
}

fn presented(headers: &HeaderMap) -> Credentials<'_> {
    let value = |name: HeaderName| headers.get(name).map(AsRef::as_ref);
    Credentials { api_key: value(X_API_KEY), authorization: value(AUTHORIZATION) }
}

impl Policy {
    /// Creates the policy of `row`.
    #[must_use]
    pub fn new(app: &App, row: &Row) -> Self {
        let quota = row.quota.quota(&app.config).cloned();
        let has_tiers = row.quota == QuotaOf::Track;
        let method = method_label(&row.method);
        Self { app: app.clone(), method, path: row.path, access: row.access, quota, has_tiers }
    }

    /// Decides about a request of whom memory recognises, or not, at `ip`. An attempt without a valid key counts against
    /// the quota of its address, so that guessing keys runs into 429 and never uses up that of a caller who has one.
    pub async fn admit(&self, recognised: Result<Principal, Denied>, ip: ClientIp) -> Admission {
        let is_open = match self.access {
            Access::Public => true,
            Access::Scope(_) => !self.app.access.is_required(),
            Access::Personal(_) => {
                !self.app.access.is_required() && self.app.config.allow_unauthenticated_privacy
            }
        };
        let known = match recognised {
            Err(_) if is_open => Ok(Principal::Anyone),
            // Boxed, because it is rare, and a look-up is large: the space would be moved about for every request.
            Err(denied) => Box::pin(self.appeal(denied, ip)).await,
            Ok(principal) => Ok(principal),
        };
        match known {
            Ok(principal) => {
                let (caller, key) = (principal.caller(ip), principal.key_id());
                let decision = self.count(caller, self.quota_of(&principal)).await;
                let verdict = self.enforce(decision).and_then(|()| self.authorise(principal));
                self.admission(verdict, decision, caller, key)
            }
            Err(refused) => Box::pin(self.turn_away(refused, Caller::at(ip))).await,
        }
    }

    /// Notes in the audit trail that a route of administration or privacy is refused to somebody who may not use it.
    fn note_refusal(&self, admission: &Admission, request_id: &str) {
        let is_watched = match self.access {
            Access::Public => false,
            Access::Scope(scope) => matches!(scope, Scope::Admin | Scope::Privacy),
            Access::Personal(_) => true,
        };
        let refusal = admission.verdict.as_ref().err().filter(|_| is_watched);
        let Some(error) = refusal
            .filter(|error| matches!(error.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN))
        else {
            return;
        };
        let (kind, reason) = match error.incident() {
            Some(incident) => (incident.event, incident.reason),
            None => (SecurityEvent::AuthMissing, "authentication is off"),
        };
        let Accounting { caller, key, .. } = admission.accounting;
        let by = Actor { name: caller.actor(), request_id: Some(request_id.to_owned()) };
        let route = format!("{} {}", self.method, self.path);
        self.app.audit_recorder.record_rejection(kind, &by, &route, reason, key.map(|key| key.to_string()));
    }

    /// Returns the answer to a request that is refused; where tokens are taken, a 401 says so.
    fn refuse(&self, error: ApiError) -> Response {
        let mut response = error.into_response();
        if response.status() == StatusCode::UNAUTHORIZED && self.app.access.token_verifier().is_some() {
            response.headers_mut().entry(WWW_AUTHENTICATE).or_insert(HeaderValue::from_static("Bearer"));
        }
        response
    }

    /// Answers who presents nothing valid.
    async fn turn_away(&self, refused: Refused, caller: Caller) -> Admission {
        let (quota, Refused { why, error, key }) = (self.quota.as_ref(), refused);
        match why {
            Why::Failed => {
                let decision = self.count(caller, quota).await;
                self.admission(self.enforce(decision).and(Err(error)), decision, caller, key)
            }
            Why::TooOften(failures) => self.admission(Err(error), Some(failures), caller, key),
            Why::Unavailable => {
                let decision = match quota {
                    Some(quota) => Some(self.peek((self.method, self.path), caller, quota).await),
                    None => None,
                };
                let accounting = Accounting { caller, key, decision, shadowed: false };
                Admission { verdict: Err(error), accounting }
            }
        }
    }

    /// Has what memory does not know looked up, and counts a failed attempt of `ip`. After too many of them no key is
    /// looked up. An issuer's keys are fetched seldom, however many ask, so nobody needs to be kept from that.
    async fn appeal(&self, denied: Denied, ip: ClientIp) -> Result<Principal, Refused> {
        let (quota, caller) = (self.app.config.rate_limit_auth_failures.get(), Caller::at(ip));
        let enforced = quota.filter(|_| !self.is_shadow());
        if let (Some(quota), Denied::Unknown(Unknown::Key(_))) = (enforced, &denied) {
            let failures = self.peek(FAILURES, caller, quota).await;
            if !failures.allowed {
                return Err(Refused::too_often(failures));
            }
        }
        let denied = match denied {
            Denied::Unknown(unknown) => match self.app.access.look_up(unknown).await {
                Ok(principal) => return Ok(principal),
                Err(denied) => denied,
            },
            denied => denied,
        };
        let refused = Refused::from(denied);
        if let (Some(quota), Why::Failed) = (quota, &refused.why) {
            let failures = self.hit(FAILURES, caller, quota).await;
            if !failures.allowed && !self.is_shadow() {
                return Err(Refused::too_often(failures));
            }
        }
        Err(refused)
    }

    fn admission(
        &self,
        verdict: Result<Principal, ApiError>,
        decision: Option<Decision>,
        caller: Caller,
        key: Option<KeyId>,
    ) -> Admission {
        let shadowed = self.is_shadow() && decision.is_some_and(|decision| !decision.allowed);
        Admission { verdict, accounting: Accounting { caller, key, decision, shadowed } }
    }

    /// Refuses what a quota has no room for, where quotas are enforced.
    fn enforce(&self, decision: Option<Decision>) -> Result<(), ApiError> {
        match decision {
            Some(refused) if !refused.allowed && !self.is_shadow() => {
                Err(ApiError::QuotaExceeded(refused.window, refused.retry_after_seconds()))
            }
            _ => Ok(()),
        }
    }

    fn authorise(&self, principal: Principal) -> Result<Principal, ApiError> {
        match (self.access, &principal) {
            (Access::Scope(scope), Principal::Anyone) if !principal.has(scope) => {
                Err(ApiError::AuthenticationOff)
            }
            // Only where the settings say so is it admitted.
            (Access::Personal(_), Principal::Anyone) => Ok(principal),
            (Access::Scope(scope) | Access::Personal(scope), Principal::Token(_))
                if !principal.has(scope) =>
            {
                Err(ApiError::TokenScopeLacking(scope))
            }
            (Access::Scope(scope) | Access::Personal(scope), _) if !principal.has(scope) => {
                Err(ApiError::ScopeLacking(scope))
            }
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

    /// Counts a request of `caller` on this route.
    async fn count(&self, caller: Caller, quota: Option<&Quota>) -> Option<Decision> {
        Some(self.hit((self.method, self.path), caller, quota?).await)
    }

    async fn hit(&self, (method, path): Counter, caller: Caller, quota: &Quota) -> Decision {
        let now_ms = self.app.clock.now().timestamp_millis();
        let decision = self.app.limits.hit(QuotaKey { method, path, caller }, quota, now_ms).await;
        if decision.near {
            self.app.metrics.count_near(path);
        }
        if !decision.allowed && self.is_shadow() {
            self.app.metrics.count_shadow(path);
        }
        decision
    }

    /// What would be said of a request that is not counted.
    async fn peek(&self, (method, path): Counter, caller: Caller, quota: &Quota) -> Decision {
        let now_ms = self.app.clock.now().timestamp_millis();
        self.app.limits.peek(QuotaKey { method, path, caller }, quota, now_ms).await
    }

    /// Whether quotas are counted only.
    fn is_shadow(&self) -> bool {
        self.app.config.rate_limit_mode == Mode::Shadow
    }

    /// Runs the handler. A protected route is refused when more requests of protected routes are being answered already than
    /// the service takes on.
    async fn run(&self, request: Request, next: Next) -> Result<Response, ApiError> {
        let _counted = self.app.answering.token();
        let _permit = match self.access {
            Access::Public => None,
            Access::Scope(_) | Access::Personal(_) => {
                Some(self.app.in_flight.try_acquire().map_err(|_| ApiError::Overloaded)?)
            }
        };
        Ok(next.run(request).await)
    }
}
