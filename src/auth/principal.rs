//! The principal of a request, and what it may do.

use std::sync::Arc;

use super::jwt::Token;
use super::key::{KeyId, Scope, Scopes};
use super::key_cache::CachedKey;
use super::{Caller, ClientIp};

/// Who makes a request.
#[derive(Debug, Clone)]
pub enum Principal {
    /// No one in particular: the route is public, or authentication is off.
    Anyone,
    /// The holder of a key of `MLOPS_API_KEY`, with its fingerprint.
    Configured(u64),
    /// The holder of a named key.
    Named(Arc<CachedKey>),
    /// The bearer of a token.
    Token(Arc<Token>),
}

impl Principal {
    /// Returns whether it may use routes of `scope`. Without authentication no one may manage keys: they
    /// would remain valid once it is switched on.
    #[must_use]
    pub fn has(&self, scope: Scope) -> bool {
        match self {
            Self::Anyone => scope != Scope::Admin,
            Self::Configured(_) => Scopes::all().contains(scope),
            Self::Named(cached) => cached.key.scopes.contains(scope),
            Self::Token(token) => token.scopes.contains(scope),
        }
    }

    /// Returns whether it may report and read events of `business_id`.
    #[must_use]
    pub fn may_use(&self, business_id: &str) -> bool {
        self.business().is_none_or(|only| only == business_id)
    }

    /// Returns the only business it may act for; `None` for all.
    #[must_use]
    pub fn business(&self) -> Option<&str> {
        match self {
            Self::Anyone | Self::Configured(_) => None,
            Self::Named(cached) => cached.key.business_id.as_deref(),
            Self::Token(token) => token.business_id.as_deref(),
        }
    }

    /// Returns the tier of its key.
    #[must_use]
    pub fn tier(&self) -> Option<&str> {
        match self {
            Self::Anyone | Self::Configured(_) | Self::Token(_) => None,
            Self::Named(cached) => cached.key.tier.as_deref(),
        }
    }

    /// Returns the public id of its key.
    #[must_use]
    pub fn key_id(&self) -> Option<KeyId> {
        match self {
            Self::Anyone | Self::Configured(_) | Self::Token(_) => None,
            Self::Named(cached) => Some(cached.key.id),
        }
    }

    /// Returns the caller for whom its quotas are counted.
    #[must_use]
    pub fn caller(&self, ip: ClientIp) -> Caller {
        match self {
            Self::Anyone => Caller::at(ip),
            Self::Configured(fingerprint) => Caller::Configured(*fingerprint),
            Self::Named(cached) => Caller::Named(cached.key.id),
            Self::Token(token) => Caller::Token(token.fingerprint),
        }
    }
}
