//! Counting of requests and failed attempts, by the guard and by the route that takes a key in a form.

use crate::app::{AUTH_FAILURES, App, QuotaKey};
use crate::auth::{Caller, ClientIp, Denied, Principal, Unknown};
use crate::config::Mode;
use crate::quota::{Decision, Quota};

use super::refused::{Refused, Why};

/// What is counted: the method and the pattern of a route.
pub(super) type Counter = (&'static str, &'static str);

/// The counter of failed attempts, whatever their route.
const FAILURES: Counter = ("any", AUTH_FAILURES);

/// Counts a request of `caller`.
pub(super) async fn hit(app: &App, (method, path): Counter, caller: Caller, quota: &Quota) -> Decision {
    let now_ms = app.clock.now().timestamp_millis();
    let decision = app.limits.hit(QuotaKey { method, path, caller }, quota, now_ms).await;
    if decision.near {
        app.metrics.count_near(path);
    }
    if !decision.allowed && is_shadow(app) {
        app.metrics.count_shadow(path);
    }
    decision
}

/// Returns the decision on a request without counting it.
pub(super) async fn peek(app: &App, (method, path): Counter, caller: Caller, quota: &Quota) -> Decision {
    let now_ms = app.clock.now().timestamp_millis();
    app.limits.peek(QuotaKey { method, path, caller }, quota, now_ms).await
}

/// Returns whether quotas are counted but not enforced.
pub(super) fn is_shadow(app: &App) -> bool {
    app.config.rate_limit_mode == Mode::Shadow
}

/// Looks up credentials that are not known in memory, and counts a failed attempt of `ip`. After too many
/// of them, keys are not looked up. Tokens still are: the keys of an issuer are fetched rarely, however
/// many tokens are presented.
pub(in crate::http) async fn appeal(app: &App, denied: Denied, ip: ClientIp) -> Result<Principal, Refused> {
    let (quota, caller) = (app.config.rate_limit_auth_failures.get(), Caller::at(ip));
    let enforced = quota.filter(|_| !is_shadow(app));
    if let (Some(quota), Denied::Unknown(Unknown::Key(_))) = (enforced, &denied) {
        let failures = peek(app, FAILURES, caller, quota).await;
        if !failures.allowed {
            return Err(Refused::too_often(failures));
        }
    }
    let denied = match denied {
        Denied::Unknown(unknown) => match app.access.look_up(unknown).await {
            Ok(principal) => return Ok(principal),
            Err(denied) => denied,
        },
        denied => denied,
    };
    let refused = Refused::from(denied);
    if let (Some(quota), Why::Failed) = (quota, &refused.why) {
        let failures = hit(app, FAILURES, caller, quota).await;
        if !failures.allowed && !is_shadow(app) {
            return Err(Refused::too_often(failures));
        }
    }
    Err(refused)
}
