//! Admission to pages, for browsers that are signed in.

use axum::http::HeaderMap;

use super::{Admission, Policy};
use crate::auth::key::{Scope, Secret};
use crate::auth::{Caller, NoSession, Principal};
use crate::http::error::ApiError;
use crate::http::middleware::request_context::RequestContext;
use crate::http::site::Site;

impl Policy {
    /// Decides on a request for a page. Keys and tokens in headers do not count. A cookie that is not remembered counts against the
    /// quota of its address before it is looked up, so that made-up ones do not load the store.
    pub(super) async fn admit_to_page(&self, headers: &HeaderMap, context: &RequestContext) -> Admission {
        let (app, address) = (&self.app, Caller::at(context.client_ip()));
        let cookie = Site::of(app, headers, context).and_then(|site| site.cookie(headers));
        let known = match (app.access.is_required(), cookie) {
            (false, _) => Ok(Principal::Anyone),
            (true, None) => Err(ApiError::SignedOut),
            (true, Some(cookie)) => self.signed_in(&cookie, address).await,
        };
        let principal = known.as_ref().unwrap_or(&Principal::Anyone);
        let (caller, key) = (principal.caller(context.client_ip()), principal.key_id());
        let decision = match &known {
            Err(ApiError::QuotaExceeded(..)) => self.peek_route(address).await,
            _ => self.count(caller, self.quota.as_ref()).await,
        };
        let verdict = self.enforce(decision).and(known);
        let verdict = verdict.and_then(|principal| match principal.has(Scope::Analytics) {
            true => Ok(principal),
            false => Err(ApiError::ScopeLacking(Scope::Analytics)),
        });
        self.admission(verdict, decision, caller, key)
    }

    /// Returns who signed in with the browser that presents `cookie`.
    async fn signed_in(&self, cookie: &Secret, address: Caller) -> Result<Principal, ApiError> {
        if self.app.access.remembered_session(cookie).is_none() {
            self.enforce(self.count(address, self.quota.as_ref()).await)?;
        }
        self.app.access.session(cookie).await.map_err(|why| match why {
            NoSession::Over => ApiError::SignedOut,
            NoSession::Unavailable => ApiError::StoreUnavailable,
        })
    }
}
