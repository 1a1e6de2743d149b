//! Named API keys: what one is, what it allows, and how long it is valid. No I/O here.

mod scope;
mod secret;

pub use scope::{NoScope, Scope, Scopes};
pub use secret::{KeyId, NoKeyId, PlainKey, SecretHash};

use chrono::{DateTime, Utc};
use subtle::{Choice, ConstantTimeEq};

/// A key as the store keeps it. Times are whole seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedKey {
    /// The public id, part of the key itself; it stays when the secret is replaced.
    pub id: KeyId,
    /// What people call it.
    pub name: String,
    /// What it allows.
    pub scopes: Scopes,
    /// The only business it is valid for; every business when `None`.
    pub business_id: Option<String>,
    /// The tier whose quota it has on `/track`; the route's own quota when `None`.
    pub tier: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it stops to be valid by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, at most a minute behind while it is in use.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// The hash of its secret.
    pub hash: SecretHash,
    /// The secret that was replaced, while its grace lasts.
    pub previous: Option<Previous>,
}

/// A replaced secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Previous {
    /// The hash of the secret.
    pub hash: SecretHash,
    /// When it stops to be valid.
    pub until: DateTime<Utc>,
}

/// Whether a key can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It can.
    Active,
    /// Its time is over.
    Expired,
    /// Somebody revoked it.
    Revoked,
}

impl Status {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl NamedKey {
    /// A key that no secret opens.
    #[must_use]
    pub fn nobodys() -> Self {
        Self {
            id: KeyId(0),
            name: String::new(),
            scopes: Scopes::default(),
            business_id: None,
            tier: None,
            created_at: DateTime::UNIX_EPOCH,
            expires_at: None,
            last_used_at: None,
            revoked_at: None,
            hash: SecretHash::NOBODYS,
            previous: None,
        }
    }

    /// Whether it can be used at `now`.
    #[must_use]
    pub fn status(&self, now: DateTime<Utc>) -> Status {
        match (self.revoked_at, self.expires_at) {
            (Some(_), _) => Status::Revoked,
            (None, Some(expires_at)) if expires_at <= now => Status::Expired,
            (None, _) => Status::Active,
        }
    }

    /// Whether `presented` is the hash of its secret, or of the replaced one within its grace. Always two comparisons,
    /// each in constant time.
    #[must_use]
    pub fn opens(&self, presented: &SecretHash, now: DateTime<Utc>) -> bool {
        let previous = self.previous.unwrap_or(Previous { hash: self.hash, until: DateTime::UNIX_EPOCH });
        let in_grace = Choice::from(u8::from(now < previous.until));
        (presented.ct_eq(&self.hash) | (presented.ct_eq(&previous.hash) & in_grace)).into()
    }
}
