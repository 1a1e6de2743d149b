//! Tells from what a request presents who makes it.

use super::keyring::{KeyRing, Rejected};
use super::keys::Keys;
use super::principal::Principal;
use crate::key::{KeyId, PlainKey};

/// What a request presents.
#[derive(Debug, Clone, Copy, Default)]
pub struct Presented<'a> {
    /// The value of `X-API-Key`.
    pub api_key: Option<&'a [u8]>,
}

/// Why nobody is recognised.
#[derive(Debug)]
pub enum Denied {
    /// Nothing was presented.
    Missing,
    /// What was presented is not valid; the id, where it is that of a key.
    Invalid(Option<KeyId>),
    /// It was valid once.
    Expired(KeyId),
    /// It may be a key that was made elsewhere a moment ago: [`Authenticator::look_up`] tells.
    Unknown(PlainKey),
    /// It cannot be checked now.
    Unavailable,
}

/// Recognises callers.
#[derive(Debug)]
pub struct Authenticator {
    configured: Keys,
    ring: KeyRing,
}

impl Authenticator {
    /// Recognises the holders of these keys.
    #[must_use]
    pub const fn new(configured: Keys, ring: KeyRing) -> Self {
        Self { configured, ring }
    }

    /// Whether protected routes are protected.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.configured.are_required()
    }

    /// The named keys.
    #[must_use]
    pub const fn ring(&self) -> &KeyRing {
        &self.ring
    }

    /// Who presents this, as far as memory tells.
    pub fn recognise(&self, presented: Presented<'_>) -> Result<Principal, Denied> {
        let key = presented.api_key.filter(|key| !key.is_empty()).ok_or(Denied::Missing)?;
        if let Some(fingerprint) = self.configured.check(key) {
            return Ok(Principal::Configured(fingerprint));
        }
        let plain = PlainKey::parse(key).ok_or(Denied::Invalid(None))?;
        match self.ring.check(&plain) {
            Err(Rejected::Unknown) => Err(Denied::Unknown(plain)),
            checked => checked.map(Principal::Named).map_err(|why| why.of(plain.id)),
        }
    }

    /// Who presents a key that memory does not know.
    pub async fn look_up(&self, key: &PlainKey) -> Result<Principal, Denied> {
        self.ring.look_up(key).await.map(Principal::Named).map_err(|why| why.of(key.id))
    }
}

impl Rejected {
    const fn of(self, id: KeyId) -> Denied {
        match self {
            Self::Unknown => Denied::Invalid(None),
            Self::Invalid => Denied::Invalid(Some(id)),
            Self::Expired => Denied::Expired(id),
            Self::Unavailable => Denied::Unavailable,
        }
    }
}
