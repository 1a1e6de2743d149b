//! Creating, rotating and revoking named keys.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use serde::Deserialize;

use super::KeyCache;
use super::key::{KeyId, NamedKey, NoScope, PlainKey, Scope, Scopes, Status};
use crate::audit::{Action, Actor, Entry};
use crate::clock::timestamp;
use crate::config::Tiers;
use crate::store::StoreError;

/// The maximum length of a name, in characters.
const MAX_NAME_CHARS: usize = 100;

/// The maximum length of a business id, in characters.
const MAX_BUSINESS_CHARS: usize = 255;

/// How long a replaced secret stays valid by default.
pub const DEFAULT_GRACE: &str = "24h";

/// The maximum lifetime or grace period, in days.
const MAX_DAYS: i64 = 3_660;

/// A request for a new key, not yet validated.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// The name by which people recognise it; 1 to 100 characters.
    pub name: String,
    /// The names of its scopes.
    pub scopes: Vec<String>,
    /// The only business it is valid for; `None` for all.
    pub business_id: Option<String>,
    /// The name of its tier; `None` or `standard` for the quota of the route.
    pub tier: Option<String>,
    /// Its lifetime, such as `90d`; `None` for no expiry.
    pub expires: Option<String>,
}

/// Why a key was not created or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A field of a [`NewKey`], or a duration, is invalid.
    #[error("{field} {must_be}")]
    Invalid {
        /// The name of the field.
        field: &'static str,
        /// What it must be.
        must_be: String,
    },
    /// No key has this id.
    #[error("no key has this id")]
    Unknown,
    /// The key has expired or was revoked.
    #[error("the key is {}", .0.name())]
    Inactive(Status),
    /// The store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl KeyCache {
    /// Creates a key. Returns it with its plain form, which must be shown to its holder at once and cannot be
    /// recovered.
    pub async fn create(
        &self,
        new_key: NewKey,
        tiers: &Tiers,
        actor: &Actor,
    ) -> Result<(NamedKey, PlainKey), KeyError> {
        let (plain, now) = (PlainKey::generate(), self.now());
        let key = new_key.key(&plain, tiers, now.trunc_subsecs(0))?;
        self.store().add_key(&key, now, &creation_entry(&key, actor)).await?;
        self.replace(key.clone());
        Ok((key, plain))
    }

    /// Replaces the secret of the key `id`; the previous one stays valid for `grace`, such as `24h`.
    pub async fn rotate(
        &self,
        id: KeyId,
        grace: &str,
        actor: &Actor,
    ) -> Result<(NamedKey, PlainKey), KeyError> {
        let now = self.now().trunc_subsecs(0);
        let grace_ends = now + duration("grace", grace)?;
        match self.store().key(id).await?.map(|key| key.status(now)) {
            Some(Status::Active) => {}
            Some(status) => return Err(KeyError::Inactive(status)),
            None => return Err(KeyError::Unknown),
        }
        let plain = PlainKey::generate_for(id);
        let entry = actor.entry(Action::KeyRotated).with("key", id.to_string());
        let entry = entry.with("previous_secret_until", timestamp(grace_ends));
        let replaced = self.store().replace_secret(id, plain.hash(), grace_ends, self.now(), &entry).await?;
        let key = replaced.ok_or(KeyError::Inactive(Status::Revoked))?;
        self.replace(key.clone());
        Ok((key, plain))
    }

    /// Undoes the rotation that made `rotated`, whose secret nobody has seen: the previous secret is the only one again. A
    /// key that was rotated or revoked meanwhile stays as it is.
    pub async fn undo_rotation(&self, rotated: &NamedKey, actor: &Actor) -> Result<(), KeyError> {
        let entry = actor.entry(Action::KeyRotated).with("key", rotated.id.to_string()).with("undone", true);
        if let Some(key) = self.store().restore_secret(rotated.id, rotated.hash, self.now(), &entry).await? {
            self.replace(key);
        }
        Ok(())
    }

    /// Revokes the key `id`: on this replica at once, on others within seconds. Returns whether this call
    /// revoked it; revoking it again has no effect.
    pub async fn revoke(&self, id: KeyId, actor: &Actor) -> Result<(NamedKey, bool), KeyError> {
        let entry = actor.entry(Action::KeyRevoked).with("key", id.to_string());
        let revoked = self.store().revoke_key(id, self.now(), &entry).await?;
        let is_new = revoked.is_some();
        let key = match revoked {
            Some(key) => key,
            None => self.store().key(id).await?.ok_or(KeyError::Unknown)?,
        };
        self.replace(key.clone());
        Ok((key, is_new))
    }
}

/// Returns the audit entry for a new key. Its name is left out: it may be that of a person.
fn creation_entry(key: &NamedKey, actor: &Actor) -> Entry {
    actor
        .entry(Action::KeyCreated)
        .with("key", key.id.to_string())
        .with("scopes", key.scopes.to_string())
        .with("business_id", key.business_id.clone())
        .with("tier", key.tier.clone())
        .with("expires_at", key.expires_at.map(timestamp))
}

impl NewKey {
    fn key(self, plain: &PlainKey, tiers: &Tiers, now: DateTime<Utc>) -> Result<NamedKey, KeyError> {
        let business_id =
            self.business_id.map(|business| plain_text("business_id", business, MAX_BUSINESS_CHARS));
        let lifetime = self.expires.as_deref().map(|text| duration("expires", text)).transpose()?;
        if lifetime.is_some_and(|lifetime| lifetime.is_zero()) {
            return Err(invalid("expires", "must be longer than zero"));
        }
        Ok(NamedKey {
            id: plain.id,
            name: plain_text("name", self.name, MAX_NAME_CHARS)?,
            scopes: scopes(&self.scopes, business_id.is_some())?,
            business_id: business_id.transpose()?,
            tier: tier(self.tier, tiers)?,
            created_at: now,
            expires_at: lifetime.map(|lifetime| now + lifetime),
            hash: plain.hash(),
            ..NamedKey::placeholder()
        })
    }
}

fn invalid(field: &'static str, must_be: impl Into<String>) -> KeyError {
    KeyError::Invalid { field, must_be: must_be.into() }
}

fn plain_text(field: &'static str, text: String, max: usize) -> Result<String, KeyError> {
    let fits = (1..=max).contains(&text.chars().count()) && !text.contains(char::is_control);
    fits.then_some(text)
        .ok_or_else(|| invalid(field, format!("must be 1 to {max} characters, without control characters")))
}

fn scopes(names: &[String], bound: bool) -> Result<Scopes, KeyError> {
    let scopes = names.iter().map(|name| name.trim().parse::<Scope>()).collect::<Result<Scopes, NoScope>>();
    let scopes = scopes.ok().filter(|scopes| !scopes.is_empty());
    let scopes =
        scopes.ok_or_else(|| invalid("scopes", format!("must be one or more of {}", Scopes::all())))?;
    if bound && scopes.and(Scopes::of_one_business()) != scopes {
        let all = Scopes::of_one_business();
        return Err(invalid("scopes", format!("must be one or more of {all} for a key bound to a business")));
    }
    Ok(scopes)
}

fn tier(name: Option<String>, tiers: &Tiers) -> Result<Option<String>, KeyError> {
    let Some(name) = name.filter(|name| name != "standard") else { return Ok(None) };
    if tiers.get(&name).is_some() {
        return Ok(Some(name));
    }
    let known: Vec<&str> = tiers.names().chain(["standard"]).collect();
    Err(invalid("tier", format!("must be one of {}", known.join(", "))))
}

/// Parses a duration such as `90d`, `24h` or `1h 30m`.
fn duration(field: &'static str, text: &str) -> Result<TimeDelta, KeyError> {
    let duration = humantime::parse_duration(text.trim()).ok().map(|duration| duration.as_secs());
    let duration = duration.and_then(|seconds| TimeDelta::try_seconds(seconds.try_into().ok()?));
    duration.filter(|duration| duration.num_days() <= MAX_DAYS).ok_or_else(|| {
        invalid(field, format!("must be a duration such as 90d, 24h or 30m, at most {MAX_DAYS} days"))
    })
}
