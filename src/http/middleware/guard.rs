//! The guard in front of every route: authentication, permissions and the quota.

pub(in crate::http) mod attempts;
mod page;
pub(in crate::http) mod refused;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::http_metrics::method_label;
use super::request_context::RequestContext;
use crate::app::App;
use crate::audit::Actor;
use crate::auth::key::{KeyId, Scope};
use crate::auth::{Caller, ClientIp, Credentials, Denied, Principal};
use crate::http::error::ApiError;
use crate::http::routes::{Access, QuotaOf, Row};
use crate::quota::{Decision, Quota};
use crate::security::SecurityEvent;
use refused::{Refused, Why};

/// The routes that the reserved seats are for.
const PROBES: [&str; 4] = ["/health", "/health/live", "/health/ready", "/metrics"];

const AUTHENTICATION_OFF: &str = "Authentication is off; set MLOPS_API_KEY to use this route";

/// The header that carries an API key.
pub const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What the guard of a route enforces.
#[derive(Debug)]
pub struct Policy {
    app: App,
    method: &'static str,
    path: &'static str,
    access: Access,
    quota: Option<Quota>,
    has_tiers: bool,
    /// Whether the body of a request is read before it takes a place.
    reads_body: bool,
}

/// The decision on a request, before its handler runs.
#[derive(Debug)]
pub struct Admission {
    /// The principal, or why the request is rejected.
    pub verdict: Result<Principal, ApiError>,
    /// The caller that the request counts for.
    pub accounting: Accounting,
}

/// The caller that a request counts for, and the decision of the quota.
#[derive(Debug, Clone, Copy)]
pub struct Accounting {
    /// The caller that the request counts for.
    pub caller: Caller,
    /// The public id of the presented key, if known.
    pub key: Option<KeyId>,
    /// The decision of the quota that applies; `None` if none does.
    pub decision: Option<Decision>,
    /// Whether the request is over quota but let through, because quotas are not enforced.
    pub shadowed: bool,
}

/// Passes a request on to its handler, or rejects it; for [`axum::middleware::from_fn_with_state`].
pub async fn check(State(policy): State<Arc<Policy>>, request: Request, next: Next) -> Response {
    let context = RequestContext::of(request.extensions());
    let admission = match (policy.access, context.recognised()) {
        // Boxed: it is rare, and its large future would be moved with that of every request.
        (Access::Page, _) => Box::pin(policy.admit_to_page(request.headers(), context)).await,
        // If the flood guard ran, it has recognised the holder of a key.
        (_, Some(holder)) => policy.admit(Ok(holder.clone()), context.client_ip()).await,
        (_, None) => {
            let recognised = policy.app.access.recognise(presented(request.headers()));
            policy.admit(recognised, context.client_ip()).await
        }
    };
    policy.note_refusal(&admission, context);
    context.set_accounting(admission.accounting);
    match admission.verdict {
        Ok(principal) => {
            context.set_principal(principal);
            policy.run(request, next).await.unwrap_or_else(IntoResponse::into_response)
        }
        Err(error) => policy.refuse(error),
    }
}

/// Returns the credentials in the headers of a request.
pub(super) fn presented(headers: &HeaderMap) -> Credentials<'_> {
    let value = |name: HeaderName| headers.get(name).map(AsRef::as_ref);
    Credentials { api_key: value(X_API_KEY), authorization: value(AUTHORIZATION) }
}

impl Policy {
    /// Creates the policy of `row`.
    #[must_use]
    pub fn new(app: &App, row: &Row) -> Self {
        let quota = row.quota.quota(&app.config).cloned();
        let has_tiers = row.quota == QuotaOf::Track;
        let (method, reads_body) =
            (method_label(&row.method), matches!(row.method, Method::POST | Method::PUT));
        Self { app: app.clone(), method, path: row.path, access: row.access, quota, has_tiers, reads_body }
    }

    /// Decides whether a request from `ip` is admitted; `recognised` is the result of authentication from
    /// memory. A request without valid credentials counts against the quota of its address, so that guessing
    /// keys leads to 429, and never uses up the quota of a caller that has one.
    pub async fn admit(&self, recognised: Result<Principal, Denied>, ip: ClientIp) -> Admission {
        let is_open = match self.access {
            Access::Public => true,
            Access::Scope(_) | Access::Page => !self.app.access.is_required(),
            Access::Personal(_) => {
                !self.app.access.is_required() && self.app.config.allow_unauthenticated_privacy
            }
        };
        let known = match recognised {
            Err(_) if is_open => Ok(Principal::Anyone),
            // Boxed: look-ups are rare, and their large future would be moved with that of every request.
            Err(denied) => Box::pin(attempts::appeal(&self.app, denied, ip)).await,
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

    /// Records in the audit trail that a caller was denied access to a route of administration or privacy.
    fn note_refusal(&self, admission: &Admission, context: &RequestContext) {
        let is_watched = match self.access {
            Access::Public | Access::Page => false,
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
        let by = Actor { name: caller.actor(), request_id: Some(context.audit_id().to_owned()) };
        let route = format!("{} {}", self.method, self.path);
        self.app.audit_recorder.record_rejection(kind, &by, &route, reason, key.map(|key| key.to_string()));
    }

    /// Returns the response to a rejected request. If tokens are accepted, a 401 has a `Bearer` challenge.
    fn refuse(&self, error: ApiError) -> Response {
        let mut response = error.into_response();
        if response.status() == StatusCode::UNAUTHORIZED && self.app.access.token_verifier().is_some() {
            response.headers_mut().entry(WWW_AUTHENTICATE).or_insert(HeaderValue::from_static("Bearer"));
        }
        response
    }

    /// Decides on a request without valid credentials.
    async fn turn_away(&self, refused: Refused, caller: Caller) -> Admission {
        let (quota, Refused { why, error, key }) = (self.quota.as_ref(), refused);
        match why {
            Why::Failed => {
                let decision = self.count(caller, quota).await;
                self.admission(self.enforce(decision).and(Err(error)), decision, caller, key)
            }
            Why::TooOften(failures) => self.admission(Err(error), Some(failures), caller, key),
            Why::Unavailable => {
                let decision = self.peek_route(caller).await;
                let accounting = Accounting { caller, key, decision, shadowed: false };
                Admission { verdict: Err(error), accounting }
            }
        }
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

    /// Returns an error if the quota is used up and quotas are enforced.
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
                Err(ApiError::Forbidden(AUTHENTICATION_OFF))
            }
            // `admit` lets no one without credentials get here unless the settings allow it.
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

    /// Returns the quota of the principal's tier, if the route has tiers, or else that of the route.
    fn quota_of(&self, principal: &Principal) -> Option<&Quota> {
        let tier = principal.tier().filter(|_| self.has_tiers);
        match tier.and_then(|tier| self.app.config.tiers.get(tier)) {
            Some(quota) => quota.get(),
            None => self.quota.as_ref(),
        }
    }

    /// Counts a request of `caller` on this route; `None` if there is no quota.
    async fn count(&self, caller: Caller, quota: Option<&Quota>) -> Option<Decision> {
        Some(attempts::hit(&self.app, (self.method, self.path), caller, quota?).await)
    }

    /// Returns the decision on a request of `caller` on this route without counting it; `None` if there is no quota.
    async fn peek_route(&self, caller: Caller) -> Option<Decision> {
        Some(attempts::peek(&self.app, (self.method, self.path), caller, self.quota.as_ref()?).await)
    }

    fn is_shadow(&self) -> bool {
        attempts::is_shadow(&self.app)
    }

    /// Runs the handler. A request of a protected route is rejected if too many of them are in flight; one with a body is counted by
    /// its extractor, once the body is there.
    async fn run(&self, request: Request, next: Next) -> Result<Response, ApiError> {
        let _counted = self.app.answering.token();
        let context = RequestContext::of(request.extensions());
        if context.is_on_reserved_seat() && !PROBES.contains(&self.path) {
            return Err(ApiError::NotReady("Too many open connections; try again later"));
        }
        let is_counted = !matches!(self.access, Access::Public) && !self.reads_body;
        let _place = match is_counted {
            true => Some(self.app.in_flight.take(context.tenant(), 1).ok_or(ApiError::Overloaded)?),
            false => None,
        };
        Ok(next.run(request).await)
    }
}
