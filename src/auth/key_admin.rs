//! Creating, rotating and revoking named keys.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use serde::Deserialize;

use super::key::{KeyId, NamedKey, NoScope, PlainKey, Scope, Scopes, Status};
use super::{KeyCache, Principal};
use crate::audit::{Action, Actor, Entry};
use crate::clock::timestamp;
use crate::config::Tiers;
use crate::shape::Shape;
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
    /// The caller's own key does not allow it, for this reason.
    #[error("{0}")]
    Exceeded(&'static str),
    /// The store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// What a caller may give to keys: at most what it has.
#[derive(Debug, Clone)]
pub struct Authority {
    scopes: Scopes,
    business_id: Option<String>,
    expires_at: Option<DateTime<Utc>>,
    parent: Option<KeyId>,
}

impl Authority {
    /// Returns that of the command line, which may give everything.
    #[must_use]
    pub fn unlimited() -> Self {
        Self { scopes: Scopes::all(), business_id: None, expires_at: None, parent: None }
    }

    /// Returns that of `principal`. The bearer of a token creates keys with any lifetime: a token is too short-lived to be their
    /// parent.
    #[must_use]
    pub fn of(principal: &Principal) -> Self {
        match principal {
            Principal::Anyone => Self { scopes: Scopes::default(), ..Self::unlimited() },
            Principal::Configured(_) => Self::unlimited(),
            Principal::Token(token) => {
                Self { scopes: token.scopes, business_id: token.business_id.clone(), ..Self::unlimited() }
            }
            Principal::Named(cached) => Self {
                scopes: cached.key.scopes,
                business_id: cached.key.business_id.clone(),
                expires_at: cached.key.expires_at,
                parent: Some(cached.key.id),
            },
        }
    }

    /// Makes `key` a child of the caller's key, if it has no more than that. Without a lifetime of its own it gets that of the
    /// parent.
    fn adopt(&self, key: NamedKey) -> Result<NamedKey, KeyError> {
        self.check(&key)?;
        let expires_at = key.expires_at.or(self.expires_at);
        if self.expires_at.zip(expires_at).is_some_and(|(own, given)| given > own) {
            return Err(KeyError::Exceeded("A key gives at most its own lifetime"));
        }
        Ok(NamedKey { expires_at, parent: self.parent, ..key })
    }

    /// Checks that the caller may have the secret of `key`. A key that makes keys must not outlive the caller's.
    fn check_secret_of(&self, key: &NamedKey) -> Result<(), KeyError> {
        self.check(key)?;
        let outlives = self.expires_at.is_some_and(|own| key.expires_at.is_none_or(|expires| expires > own));
        if key.scopes.contains(Scope::Admin) && outlives {
            return Err(KeyError::Exceeded("A key rotates no key with the scope admin that outlives it"));
        }
        Ok(())
    }

    fn check(&self, key: &NamedKey) -> Result<(), KeyError> {
        if key.scopes.and(self.scopes) != key.scopes {
            return Err(KeyError::Exceeded("A key gives and rotates at most the scopes that it has itself"));
        }
        if self.business_id.is_some() && self.business_id != key.business_id {
            return Err(KeyError::Exceeded("A key gives and rotates keys of its own business only"));
        }
        Ok(())
    }
}

impl KeyCache {
    /// Creates a key with what `authority` has. Returns it with its plain form, which must be shown to its holder at once and cannot be
    /// recovered.
    pub async fn create(
        &self,
        new_key: NewKey,
        tiers: &Tiers,
        authority: &Authority,
        actor: &Actor,
    ) -> Result<(NamedKey, PlainKey), KeyError> {
        let (plain, now) = (PlainKey::generate(), self.now());
        let key = authority.adopt(new_key.key(&plain, tiers, now.trunc_subsecs(0))?)?;
        if !self.store().add_key(&key, now, &creation_entry(&key, actor)).await? {
            return Err(KeyError::Inactive(Status::Revoked));
        }
        self.replace(key.clone());
        Ok((key, plain))
    }

    /// Replaces the secret of the key `id`, if `authority` has what it has; the previous one stays valid for `grace`, such as `24h`.
    pub async fn rotate(
        &self,
        id: KeyId,
        grace: &str,
        authority: &Authority,
        actor: &Actor,
    ) -> Result<(NamedKey, PlainKey), KeyError> {
        let now = self.now().trunc_subsecs(0);
        let grace_ends = now + duration("grace", grace)?;
        let key = self.store().key(id).await?.ok_or(KeyError::Unknown)?;
        authority.check_secret_of(&key)?;
        match key.status(now) {
            Status::Active => {}
            status => return Err(KeyError::Inactive(status)),
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

    /// Revokes the key `id` and, unless `keep_children` is set, those that it and its children made: on this replica at once, on
    /// others within seconds. Revoking a key again has no effect.
    pub async fn revoke(
        &self,
        id: KeyId,
        keep_children: bool,
        actor: &Actor,
    ) -> Result<Revocation, KeyError> {
        let entry = |revoked: &str| {
            let parent = (revoked != id.to_string()).then(|| id.to_string());
            actor.entry(Action::KeyRevoked).with("key", revoked).with("with", parent)
        };
        let mut children = self.store().revoke_key(id, keep_children, self.now(), entry).await?;
        for key in &children {
            self.replace(key.clone());
        }
        let is_new = children.first().is_some_and(|first| first.id == id);
        let key = match is_new {
            true => children.remove(0),
            false => self.store().key(id).await?.ok_or(KeyError::Unknown)?,
        };
        self.replace(key.clone());
        Ok(Revocation { key, is_new, children })
    }

    /// Returns the keys that the key `id` and its children made and that are not revoked.
    pub async fn children(&self, id: KeyId) -> Result<Vec<NamedKey>, KeyError> {
        let (mut rest, _unreadable) = self.list().await?;
        let (mut family, mut children) = (vec![id], Vec::new());
        while let Some(parent) = family.pop() {
            let (own, others): (Vec<NamedKey>, _) =
                rest.into_iter().partition(|key| key.parent == Some(parent));
            rest = others;
            family.extend(own.iter().map(|key| key.id));
            children.extend(own.into_iter().filter(|key| key.revoked_at.is_none()));
        }
        Ok(children)
    }
}

/// The result of revoking a key.
#[derive(Debug)]
pub struct Revocation {
    /// The key.
    pub key: NamedKey,
    /// Whether it was valid until now.
    pub is_new: bool,
    /// The keys that were revoked with it.
    pub children: Vec<NamedKey>,
}

/// Returns the audit entry for a new key. Its name is left out: it may be that of a person.
fn creation_entry(key: &NamedKey, actor: &Actor) -> Entry {
    actor
        .entry(Action::KeyCreated)
        .with("key", key.id.to_string())
        .with("scopes", key.scopes.to_string())
        .with("business_id", key.business_id.clone())
        .with("tier", key.tier.clone())
        .with("parent", key.parent.map(|parent| parent.to_string()))
        .with("expires_at", key.expires_at.map(timestamp))
}

/// A duration in the notation that requests use.
const DURATION: &str = "^[1-9][0-9]{0,2}[smhd]( [1-9][0-9]{0,2}[smhd]){0,2}$";

/// Returns the schema of a duration.
#[must_use]
pub fn duration_shape() -> Shape {
    Shape::matching(DURATION)
        .about(&format!("A duration such as `90d`, `24h` or `1h 30m`, at most {MAX_DAYS} days"))
}

impl NewKey {
    /// Returns the schema of the request.
    #[must_use]
    pub fn shape() -> Shape {
        let key = |scopes: Scopes| {
            let scopes = Shape::list(Shape::one_of(scopes.iter().map(Scope::name)), 1..=usize::MAX);
            let name = Shape::text(1..=MAX_NAME_CHARS).about("The name by which people recognise the key");
            let tier = Shape::string()
                .or_null()
                .about("The name of its quota, one of the `TIER_…` settings, or `standard`");
            Shape::object()
                .required("name", name)
                .required(
                    "scopes",
                    scopes.about(
                        "What it may do. A key of one business has only `track`, `analytics` and `privacy`",
                    ),
                )
                .optional("tier", tier)
                .optional("expires", duration_shape().or_null())
        };
        let business =
            |shape: Shape| shape.about("The only business that it is valid for; by default for all");
        Shape::any_of([
            key(Scopes::all()).optional("business_id", business(Shape::null())),
            key(Scopes::of_one_business())
                .required("business_id", business(Shape::text(1..=MAX_BUSINESS_CHARS))),
        ])
    }

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
