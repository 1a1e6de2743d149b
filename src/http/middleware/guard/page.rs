//! Admission to pages, for browsers that are signed in.

use axum::http::HeaderMap;

use super::{Admission, Policy};
use crate::auth::key::{Scope, Secret};
use crate::auth::{Caller, ClientIp, NoSession, Principal};
use crate::http::error::ApiError;
use crate::http::middleware::request_context::RequestContext;
use crate::http::site::Site;

impl Policy {
    /// Decides on a request for a page. Keys and tokens in headers do not count. A cookie that is not remembered counts against the
    /// quota of its address before it is looked up, so that made-up ones do not load the store.
    pub(super) async fn admit_to_page(&self, headers: &HeaderMap, context: &RequestContext) -> Admission {
        let (access, ip, quota) = (&self.app.access, context.client_ip(), self.quota.as_ref());
        if !access.is_required() {
            return self.admit_as(Principal::Anyone, ip).await;
        }
        let cookie = Site::of(&self.app, headers, context).and_then(|site| site.cookie(headers));
        let is_known = cookie.as_ref().is_some_and(|cookie| access.remembered_session(cookie).is_some());
        let counted = if is_known { None } else { self.count(Caller::at(ip), quota).await };
        let found = match (self.enforce(counted), cookie) {
            (Err(error), _) => Err(error),
            (Ok(()), None) => Err(ApiError::SignedOut),
            (Ok(()), Some(cookie)) => self.signed_in(&cookie).await,
        };
        match found {
            Ok(principal) => self.admit_as(principal, ip).await,
            Err(error) => {
                let decision = if is_known { self.count(Caller::at(ip), quota).await } else { counted };
                let verdict = self.enforce(decision).and(Err(error));
                self.admission(verdict, decision, Caller::at(ip), None)
            }
        }
    }

    /// Counts a request of `principal`, and admits it if it may see pages.
    async fn admit_as(&self, principal: Principal, ip: ClientIp) -> Admission {
        let (caller, key) = (principal.caller(ip), principal.key_id());
        let decision = self.count(caller, self.quota.as_ref()).await;
        let verdict = self.enforce(decision).and_then(|()| match principal.has(Scope::Analytics) {
            true => Ok(principal),
            false => Err(ApiError::ScopeLacking(Scope::Analytics)),
        });
        self.admission(verdict, decision, caller, key)
    }

    /// Returns who signed in with the browser that presents `cookie`.
    async fn signed_in(&self, cookie: &Secret) -> Result<Principal, ApiError> {
        self.app.access.session(cookie).await.map_err(|why| match why {
            NoSession::Over => ApiError::SignedOut,
            NoSession::Unavailable => ApiError::StoreUnavailable,
        })
    }
}
