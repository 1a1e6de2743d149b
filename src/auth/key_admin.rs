//! Making, replacing and revoking named keys.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use serde::Deserialize;

use super::KeyCache;
use super::key::{KeyId, NamedKey, NoScope, PlainKey, Scope, Scopes, Status};
use crate::audit::{Action, By, Entry};
use crate::clock::timestamp;
use crate::config::Tiers;
use crate::store::StoreError;

/// The longest name, in characters.
const MAX_NAME_CHARS: usize = 100;

/// The longest business id, in characters.
const MAX_BUSINESS_CHARS: usize = 255;

/// How long a replaced secret works when nobody says otherwise.
pub const DEFAULT_GRACE: &str = "24h";

/// The longest time that may be named, in days.
const MAX_DAYS: i64 = 3_660;

/// The key that somebody would like to have, in their own words.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// What people call it; 1 to 100 characters.
    pub name: String,
    /// The names of its scopes.
    pub scopes: Vec<String>,
    /// The only business it is for.
    pub business_id: Option<String>,
    /// The name of its tier; `standard` for none.
    pub tier: Option<String>,
    /// How long it is valid, such as `90d`; without end when `None`.
    pub expires: Option<String>,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A part of a [`NewKey`], or a time, is not valid.
    #[error("{field} {must_be}")]
    Invalid {
        /// The part.
        field: &'static str,
        /// What it must be.
        must_be: String,
    },
    /// There is no such key.
    #[error("there is no key with this id")]
    Unknown,
    /// The key cannot be used any more.
    #[error("the key is {}", .0.name())]
    Over(Status),
    /// The store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl KeyCache {
    /// Makes a key. The plain form is to be shown to its holder now; nobody can show it again.
    pub async fn create(
        &self,
        wish: NewKey,
        tiers: &Tiers,
        by: &By,
    ) -> Result<(NamedKey, PlainKey), KeyError> {
        let (plain, now) = (PlainKey::generate(), self.now());
        let key = wish.key(&plain, tiers, now.trunc_subsecs(0))?;
        self.store().add_key(&key, now, &entry_of(&key, by)).await?;
        self.replace(key.clone());
        Ok((key, plain))
    }

    /// Gives the key `id` a new secret; the one before works for another `grace`, such as `24h`.
    pub async fn rotate(&self, id: KeyId, grace: &str, by: &By) -> Result<(NamedKey, PlainKey), KeyError> {
        let now = self.now().trunc_subsecs(0);
        let grace_ends = now + time("grace", grace)?;
        match self.store().key(id).await?.map(|key| key.status(now)) {
            Some(Status::Active) => {}
            Some(over) => return Err(KeyError::Over(over)),
            None => return Err(KeyError::Unknown),
        }
        let plain = PlainKey::generate_for(id);
        let entry = by.did(Action::KeyRotated).with("key", id.to_string());
        let entry = entry.with("previous_secret_until", timestamp(grace_ends));
        let replaced = self.store().replace_secret(id, plain.hash(), grace_ends, self.now(), &entry).await?;
        let key = replaced.ok_or(KeyError::Over(Status::Revoked))?;
        self.replace(key.clone());
        Ok((key, plain))
    }

    /// Revokes the key `id`: here at once, on other replicas within seconds. Revoking it again changes nothing. Says
    /// whether this revoked it.
    pub async fn revoke(&self, id: KeyId, by: &By) -> Result<(NamedKey, bool), KeyError> {
        let entry = by.did(Action::KeyRevoked).with("key", id.to_string());
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

/// What the audit trail says of a new key. Its name is left out: it may be a person's.
fn entry_of(key: &NamedKey, by: &By) -> Entry {
    by.did(Action::KeyCreated)
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
        let lifetime = self.expires.as_deref().map(|text| time("expires", text)).transpose()?;
        if lifetime.is_some_and(|lifetime| lifetime.is_zero()) {
            return Err(invalid("expires", "must be longer than nothing"));
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
            ..NamedKey::nobodys()
        })
    }
}

fn invalid(field: &'static str, must_be: impl Into<String>) -> KeyError {
    KeyError::Invalid { field, must_be: must_be.into() }
}

fn plain_text(field: &'static str, text: String, max: usize) -> Result<String, KeyError> {
    let fits = (1..=max).contains(&text.chars().count()) && !text.contains(char::is_control);
    fits.then_some(text).ok_or_else(|| {
        invalid(field, format!("must be 1 to {max} characters, none of them a control character"))
    })
}

fn scopes(names: &[String], bound: bool) -> Result<Scopes, KeyError> {
    let scopes = names.iter().map(|name| name.trim().parse::<Scope>()).collect::<Result<Scopes, NoScope>>();
    let scopes = scopes.ok().filter(|scopes| !scopes.is_empty());
    let scopes = scopes.ok_or_else(|| invalid("scopes", format!("must be some of {}", Scopes::all())))?;
    if bound && scopes.and(Scopes::of_one_business()) != scopes {
        let all = Scopes::of_one_business();
        return Err(invalid(
            "scopes",
            format!("must be some of {all} for a key that is bound to a business"),
        ));
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

/// A time such as `90d`, `24h` or `1h 30m`.
fn time(field: &'static str, text: &str) -> Result<TimeDelta, KeyError> {
    let time = humantime::parse_duration(text.trim()).ok().map(|time| time.as_secs());
    let time = time.and_then(|seconds| TimeDelta::try_seconds(seconds.try_into().ok()?));
    time.filter(|time| time.num_days() <= MAX_DAYS).ok_or_else(|| {
        invalid(field, format!("must be a time such as 90d, 24h or 30m, at most {MAX_DAYS} days"))
    })
}
