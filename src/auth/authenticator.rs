//! Tells from what a request presents who makes it.

use std::sync::Arc;

use super::configured_keys::ConfiguredKeys;
use super::jwt::{InvalidToken, Token, Tokens};
use super::key::{KeyId, PlainKey};
use super::key_cache::{KeyCache, Rejected};
use super::principal::Principal;
use crate::clock::Clock;
use crate::config::Config;
use crate::store::Store;

/// What a request presents.
#[derive(Debug, Clone, Copy, Default)]
pub struct Credentials<'a> {
    /// The value of `X-API-Key`.
    pub api_key: Option<&'a [u8]>,
    /// The value of `Authorization`.
    pub authorization: Option<&'a [u8]>,
}

/// Why nobody is recognised.
#[derive(Debug)]
pub enum Denied {
    /// Nothing was presented.
    Missing,
    /// The key is not valid; the id, where it is that of a key.
    Invalid(Option<KeyId>),
    /// The key was valid once.
    Expired(KeyId),
    /// The token is not valid, and this is why.
    InvalidToken(&'static str),
    /// The token was valid once.
    ExpiredToken,
    /// Memory does not know it: [`Authenticator::look_up`] tells.
    Unknown(Unknown),
    /// It cannot be checked now, and this is why.
    Unavailable(&'static str),
}

/// What memory does not know.
pub enum Unknown {
    /// A key that may have been made elsewhere a moment ago.
    Key(PlainKey),
    /// A token that names a key which its issuer may have begun to use a moment ago.
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

/// Recognises callers.
#[derive(Debug)]
pub struct Authenticator {
    configured: ConfiguredKeys,
    key_cache: KeyCache,
    tokens: Option<Tokens>,
}

impl Authenticator {
    /// Recognises the holders of the configured keys and of those in `store`, and the bearers of tokens where there is an
    /// issuer. An error is one that a person must mend.
    pub fn new(config: &Config, store: Store, clock: &Clock) -> Result<Self, String> {
        let tokens = config.issuer().map(|issuer| Tokens::new(&issuer, clock.clone())).transpose()?;
        let key_cache = KeyCache::new(store, clock.clone());
        Ok(Self { configured: ConfiguredKeys::new(&config.mlops_api_key), key_cache, tokens })
    }

    /// Whether protected routes are protected.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.configured.are_required() || self.tokens.is_some()
    }

    /// The named keys.
    #[must_use]
    pub const fn key_cache(&self) -> &KeyCache {
        &self.key_cache
    }

    /// The checker of tokens, where there is an issuer.
    #[must_use]
    pub const fn tokens(&self) -> Option<&Tokens> {
        self.tokens.as_ref()
    }

    /// Who holds this key, if memory knows. The work is small and the same for every key that is not valid.
    #[must_use]
    pub fn holder(&self, key: &[u8]) -> Option<Principal> {
        self.recognise_key(key).ok()
    }

    /// Who presents this, as far as memory tells. A key goes before a token.
    pub fn recognise(&self, presented: Credentials<'_>) -> Result<Principal, Denied> {
        let key = presented.api_key.filter(|key| !key.is_empty());
        match (key, &self.tokens) {
            (Some(key), _) => self.recognise_key(key),
            (None, Some(tokens)) => {
                let token = presented.authorization.and_then(bearer).ok_or(Denied::Missing)?;
                recognise_token(tokens.check(token), token)
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
            checked => checked.map(Principal::Named).map_err(|why| why.of(plain.id)),
        }
    }

    /// Who presents what memory does not know.
    pub async fn look_up(&self, unknown: Unknown) -> Result<Principal, Denied> {
        match (unknown, &self.tokens) {
            (Unknown::Key(key), _) => {
                self.key_cache.look_up(&key).await.map(Principal::Named).map_err(|why| why.of(key.id))
            }
            (Unknown::Token(token), Some(tokens)) => match tokens.check_anew(&token).await {
                Err(InvalidToken::UnknownKey) => Err(Denied::InvalidToken("its key is not known")),
                Err(InvalidToken::NoKeys) => {
                    Err(Denied::Unavailable("The issuer of tokens does not answer; try again later"))
                }
                checked => recognise_token(checked, &token),
            },
            (Unknown::Token(_), None) => Err(Denied::Missing),
        }
    }
}

/// The token of `Authorization: Bearer …` (RFC 6750, section 2.1).
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
    const fn of(self, id: KeyId) -> Denied {
        match self {
            Self::Unknown => Denied::Invalid(None),
            Self::Invalid => Denied::Invalid(Some(id)),
            Self::Expired => Denied::Expired(id),
            Self::Unavailable => Denied::Unavailable("The database does not answer; try again later"),
        }
    }
}
