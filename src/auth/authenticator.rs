//! Authentication by API key or bearer token.

use std::sync::Arc;

use super::caller::Caller;
use super::configured_keys::ConfiguredKeys;
use super::jwt::{InvalidToken, Token, TokenVerifier};
use super::key::{KeyId, PlainKey, Secret};
use super::key_cache::{KeyCache, Rejected};
use super::principal::Principal;
use super::session::{NoSession, Sessions};
use crate::clock::Clock;
use crate::config::Config;
use crate::store::{SessionKey, Store, StoreError};

/// The credentials a request presents.
#[derive(Debug, Clone, Copy, Default)]
pub struct Credentials<'a> {
    /// The value of `X-API-Key`.
    pub api_key: Option<&'a [u8]>,
    /// The value of `Authorization`.
    pub authorization: Option<&'a [u8]>,
}

/// Why credentials were not accepted.
#[derive(Debug)]
pub enum Denied {
    /// None were presented.
    Missing,
    /// The key is not valid. Contains the id if a named key has it.
    Invalid(Option<KeyId>),
    /// The key has expired.
    Expired(KeyId),
    /// The token is not valid, for this reason.
    InvalidToken(&'static str),
    /// The token has expired.
    ExpiredToken,
    /// Not known in memory; [`Authenticator::look_up`] decides.
    Unknown(Unknown),
    /// It cannot be checked at the moment, for this reason.
    Unavailable(&'static str),
}

/// Credentials that are not known in memory.
pub enum Unknown {
    /// A key that may just have been created by another process.
    Key(PlainKey),
    /// A token whose signing key may just have been published by the issuer.
    Token(Vec<u8>),
}

impl std::fmt::Debug for Unknown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(key) => key.fmt(f),
            Self::Token(_) => f.write_str("Token"),
        }
    }
}

/// Authenticates callers.
#[derive(Debug)]
pub struct Authenticator {
    configured: ConfiguredKeys,
    key_cache: KeyCache,
    tokens: Option<TokenVerifier>,
    sessions: Sessions,
}

impl Authenticator {
    /// Creates an authenticator for the configured keys, those in `store` and, if an issuer is configured,
    /// its tokens. Errors need an operator to fix them.
    pub fn new(config: &Config, store: Store, clock: &Clock) -> Result<Self, String> {
        let tokens = config.issuer().map(|issuer| TokenVerifier::new(&issuer, clock.clone())).transpose()?;
        let key_cache = KeyCache::new(store.clone(), clock.clone());
        let sessions = Sessions::new(config, store, clock.clone());
        Ok(Self { configured: ConfiguredKeys::new(&config.mlops_api_key), key_cache, tokens, sessions })
    }

    /// Returns whether protected routes need a key or a token.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.configured.are_required() || self.tokens.is_some()
    }

    /// Returns the cache of named keys.
    #[must_use]
    pub const fn key_cache(&self) -> &KeyCache {
        &self.key_cache
    }

    /// Returns the sessions of browsers.
    #[must_use]
    pub const fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Returns the holder of the key with which the browser signed in that presents `cookie`, if that key can still be used.
    pub async fn session(&self, cookie: &Secret) -> Result<Principal, NoSession> {
        let holder = match self.sessions.find(cookie).await?.key {
            SessionKey::Configured(fingerprint) => {
                self.configured.has(fingerprint).then_some(Principal::Configured(fingerprint))
            }
            SessionKey::Named(id, secret) => match self.key_cache.still_accepts(id, &secret).await {
                Ok(key) => Some(Principal::Named(key)),
                Err(Rejected::Unavailable) => return Err(NoSession::Unavailable),
                Err(Rejected::Unknown | Rejected::Invalid | Rejected::Expired) => None,
            },
        };
        holder.ok_or(NoSession::Over)
    }

    /// Returns the same from memory, however old that is; for whom to count a request.
    #[must_use]
    pub fn remembered_session(&self, cookie: &Secret) -> Option<Principal> {
        match self.sessions.remembered(cookie)?.key {
            SessionKey::Configured(fingerprint) => Some(Principal::Configured(fingerprint)),
            SessionKey::Named(id, secret) => self.key_cache.remembers(id, &secret).ok().map(Principal::Named),
        }
    }

    /// Begins a session of the holder of `key`, whom it was recognised as. Returns the value of the cookie.
    pub async fn begin_session(&self, holder: &Principal, key: &[u8]) -> Result<Secret, StoreError> {
        let key = match (holder, PlainKey::parse(key)) {
            (Principal::Named(cached), Some(plain)) => SessionKey::Named(cached.key.id, plain.hash()),
            (Principal::Configured(fingerprint), _) => SessionKey::Configured(*fingerprint),
            _ => return Err(StoreError::Unusable("only the holder of a key has a session".to_owned())),
        };
        self.sessions.begin(key).await
    }

    /// Returns the token verifier, if an issuer is configured.
    #[must_use]
    pub const fn token_verifier(&self) -> Option<&TokenVerifier> {
        self.tokens.as_ref()
    }

    /// Returns the holder of the presented key, if known in memory. Cheap, and takes the same time for every invalid key.
    #[must_use]
    pub fn holder(&self, presented: Credentials<'_>) -> Option<Principal> {
        self.recognise_key(presented.api_key?).ok()
    }

    /// Returns the bearer of the presented token, if it was verified before. That does not make it valid now, but tells whom to
    /// count a request for when verifying it would cost too much.
    #[must_use]
    pub fn verified_before(&self, presented: Credentials<'_>) -> Option<Caller> {
        self.tokens.as_ref()?.verified_before(presented.authorization.and_then(bearer)?).map(Caller::Token)
    }

    /// Authenticates a request from memory. A key takes precedence over a token.
    pub fn recognise(&self, presented: Credentials<'_>) -> Result<Principal, Denied> {
        let key = presented.api_key.filter(|key| !key.is_empty());
        match (key, &self.tokens) {
            (Some(key), _) => self.recognise_key(key),
            (None, Some(tokens)) => {
                let token = presented.authorization.and_then(bearer).ok_or(Denied::Missing)?;
                recognise_token(tokens.verify(token), token)
            }
            (None, None) => Err(Denied::Missing),
        }
    }

    fn recognise_key(&self, key: &[u8]) -> Result<Principal, Denied> {
        if let Some(fingerprint) = self.configured.check(key) {
            return Ok(Principal::Configured(fingerprint));
        }
        let plain = PlainKey::parse(key).ok_or(Denied::Invalid(None))?;
        match self.key_cache.check(&plain) {
            Err(Rejected::Unknown) => Err(Denied::Unknown(Unknown::Key(plain))),
            checked => checked.map(Principal::Named).map_err(|why| why.into_denied(plain.id)),
        }
    }

    /// Looks up credentials that are not known in memory: a key in the store, a token with freshly fetched
    /// keys.
    pub async fn look_up(&self, unknown: Unknown) -> Result<Principal, Denied> {
        match (unknown, &self.tokens) {
            (Unknown::Key(key), _) => self
                .key_cache
                .look_up(&key)
                .await
                .map(Principal::Named)
                .map_err(|why| why.into_denied(key.id)),
            (Unknown::Token(token), Some(tokens)) => match tokens.refresh_and_verify(&token).await {
                Err(InvalidToken::UnknownKey) => Err(Denied::InvalidToken("signed with an unknown key")),
                Err(InvalidToken::NoKeys) => {
                    Err(Denied::Unavailable("The token issuer is unavailable; try again later"))
                }
                checked => recognise_token(checked, &token),
            },
            (Unknown::Token(_), None) => Err(Denied::Missing),
        }
    }
}

/// Returns the token of `Authorization: Bearer …` (RFC 6750, section 2.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer ";
    let (scheme, token) = value.split_at_checked(SCHEME.len())?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(SCHEME) && !token.is_empty()).then_some(token)
}

fn recognise_token(checked: Result<Token, InvalidToken>, token: &[u8]) -> Result<Principal, Denied> {
    match checked {
        Ok(token) => Ok(Principal::Token(Arc::new(token))),
        Err(InvalidToken::Invalid(why)) => Err(Denied::InvalidToken(why)),
        Err(InvalidToken::Expired) => Err(Denied::ExpiredToken),
        Err(InvalidToken::UnknownKey | InvalidToken::NoKeys) => {
            Err(Denied::Unknown(Unknown::Token(token.to_vec())))
        }
    }
}

impl Rejected {
    const fn into_denied(self, id: KeyId) -> Denied {
        match self {
            Self::Unknown => Denied::Invalid(None),
            Self::Invalid => Denied::Invalid(Some(id)),
            Self::Expired => Denied::Expired(id),
            Self::Unavailable => Denied::Unavailable("The database is unavailable; try again later"),
        }
    }
}
