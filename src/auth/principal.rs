//! Who makes a request, and what that allows.

use std::sync::Arc;

use super::jwt::Token;
use super::key::{KeyId, Scope, Scopes};
use super::key_cache::CachedKey;
use super::{Caller, ClientIp};

/// Whoever makes a request.
#[derive(Debug, Clone)]
pub enum Principal {
    /// Nobody in particular: the route is public, or authentication is off.
    Anyone,
    /// The holder of a key of `MLOPS_API_KEY`, with its fingerprint.
    Configured(u64),
    /// The holder of a named key.
    Named(Arc<CachedKey>),
    /// The bearer of a token.
    Token(Arc<Token>),
}

impl Principal {
    /// Whether it may use routes of this scope. Without authentication nobody manages keys: they would still be valid
    /// once it is switched on.
    #[must_use]
    pub fn has(&self, scope: Scope) -> bool {
        match self {
            Self::Anyone => scope != Scope::Admin,
            Self::Configured(_) => Scopes::all().contains(scope),
            Self::Named(held) => held.key.scopes.contains(scope),
            Self::Token(token) => token.scopes.contains(scope),
        }
    }

    /// Whether it may report and read events of `business_id`.
    #[must_use]
    pub fn may_use(&self, business_id: &str) -> bool {
        self.business().is_none_or(|only| only == business_id)
    }

    fn business(&self) -> Option<&str> {
        match self {
            Self::Anyone | Self::Configured(_) => None,
            Self::Named(held) => held.key.business_id.as_deref(),
            Self::Token(token) => token.business_id.as_deref(),
        }
    }

    /// The tier of its key.
    #[must_use]
    pub fn tier(&self) -> Option<&str> {
        match self {
            Self::Anyone | Self::Configured(_) | Self::Token(_) => None,
            Self::Named(held) => held.key.tier.as_deref(),
        }
    }

    /// The public id of its key.
    #[must_use]
    pub fn key_id(&self) -> Option<KeyId> {
        match self {
            Self::Anyone | Self::Configured(_) | Self::Token(_) => None,
            Self::Named(held) => Some(held.key.id),
        }
    }

    /// Who its quotas are counted for.
    #[must_use]
    pub fn caller(&self, ip: ClientIp) -> Caller {
        match self {
            Self::Anyone => Caller::at(ip),
            Self::Configured(fingerprint) => Caller::Configured(*fingerprint),
            Self::Named(held) => Caller::Named(held.key.id),
            Self::Token(token) => Caller::Token(token.fingerprint),
        }
    }
}
