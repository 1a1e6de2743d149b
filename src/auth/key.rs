//! Named API keys: scopes, secrets and validity. No I/O here.

mod scope;
mod secret;

pub use scope::{NoScope, Scope, Scopes};
pub use secret::{KeyId, NoKeyId, PlainKey, Secret, SecretHash};

use chrono::{DateTime, Utc};
use subtle::{Choice, ConstantTimeEq};

/// A key as it is stored. Times are whole seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedKey {
    /// The public id, which is part of the plain key and stays the same when the secret is replaced.
    pub id: KeyId,
    /// The name by which people recognise it.
    pub name: String,
    /// The scopes it grants.
    pub scopes: Scopes,
    /// The only business it is valid for; `None` for all.
    pub business_id: Option<String>,
    /// The tier that sets its quota on `/track`; `None` for the quota of the route.
    pub tier: Option<String>,
    /// The key that made it and that it ends with; `None` if a configured key, a token or the command line did.
    pub parent: Option<KeyId>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it expires, if ever.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used; up to a minute old while the key is in use.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<DateTime<Utc>>,
    /// The hash of its secret.
    pub hash: SecretHash,
    /// The previous secret, if the last rotation left it valid for a grace period.
    pub previous: Option<Previous>,
}

/// A secret that has been replaced and stays valid for a grace period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Previous {
    /// The hash of the secret.
    pub hash: SecretHash,
    /// When the grace period ends.
    pub until: DateTime<Utc>,
}

/// Whether a key can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It can be used.
    Active,
    /// It has expired.
    Expired,
    /// It was revoked.
    Revoked,
}

impl Status {
    /// Returns the name of the status.
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
    /// Returns a key that no secret matches.
    #[must_use]
    pub fn placeholder() -> Self {
        Self {
            id: KeyId(0),
            name: String::new(),
            scopes: Scopes::default(),
            business_id: None,
            tier: None,
            parent: None,
            created_at: DateTime::UNIX_EPOCH,
            expires_at: None,
            last_used_at: None,
            revoked_at: None,
            hash: SecretHash::PLACEHOLDER,
            previous: None,
        }
    }

    /// Returns whether it can be used at `now`.
    #[must_use]
    pub fn status(&self, now: DateTime<Utc>) -> Status {
        match (self.revoked_at, self.expires_at) {
            (Some(_), _) => Status::Revoked,
            (None, Some(expires_at)) if expires_at <= now => Status::Expired,
            (None, _) => Status::Active,
        }
    }

    /// Returns whether `presented` is the hash of its secret, or of the previous one within its grace period.
    /// Always makes two comparisons, each in constant time.
    #[must_use]
    pub fn accepts(&self, presented: &SecretHash, now: DateTime<Utc>) -> bool {
        let previous = self.previous.unwrap_or(Previous { hash: self.hash, until: DateTime::UNIX_EPOCH });
        let in_grace = Choice::from(u8::from(now < previous.until));
        (presented.ct_eq(&self.hash) | (presented.ct_eq(&previous.hash) & in_grace)).into()
    }
}
