//! Bearer tokens: signed JWTs (RFC 7519) of a known issuer.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Validation, decode, decode_header};
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::jwks::{Jwks, VerifyingKey};
use super::key::Scopes;
use crate::clock::Clock;
use crate::config::Issuer;

/// How far the clocks of issuer and service may be apart, in seconds.
const LEEWAY_SECONDS: f64 = 60.0;

/// A valid token, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Stands for whom the token was issued to.
    pub fingerprint: u64,
    /// What it allows.
    pub scopes: Scopes,
    /// The only business it is for.
    pub business_id: Option<String>,
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidToken {
    /// It is not valid, and this is why.
    Invalid(&'static str),
    /// Its time is over.
    Expired,
    /// It names a key that is not known.
    UnknownKey,
    /// The issuer's keys were never fetched.
    NoKeys,
}

/// Checks tokens.
#[derive(Clone)]
pub struct Tokens(Arc<Inner>);

struct Inner {
    issuer: Option<String>,
    audience: Vec<String>,
    keys: Jwks,
    clock: Clock,
}

/// The claims that are looked at.
#[derive(Debug, Deserialize)]
struct Claims {
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
    #[serde(default)]
    iss: String,
    #[serde(default)]
    sub: String,
    /// The client, by either name (RFC 9068; `OpenID` Connect).
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    azp: String,
    #[serde(default)]
    scope: Words,
    #[serde(default)]
    scp: Words,
    #[serde(default, deserialize_with = "empty_if_null")]
    business_id: Option<String>,
}

/// A claim that is there but null is no claim that is not there: a token that was to be bound must not be free.
fn empty_if_null<'de, D: Deserializer<'de>>(claim: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(claim).map(|text: Option<String>| Some(text.unwrap_or_default()))
}

/// Words in one text, or a list of them: issuers differ.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Words {
    Text(String),
    List(Vec<String>),
}

impl Default for Words {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl Words {
    fn scopes(&self) -> Scopes {
        match self {
            Self::Text(text) => Scopes::among(text.split(' ')),
            Self::List(list) => Scopes::among(list.iter().map(String::as_str)),
        }
    }
}

impl Tokens {
    /// Accepts tokens of `issuer`. An error is one that a person must mend.
    pub fn new(issuer: &Issuer, clock: Clock) -> Result<Self, String> {
        let keys = Jwks::new(issuer.keys.clone(), clock.clone());
        let keys = keys.map_err(|error| format!("tokens cannot be checked: {error}"))?;
        let (issuer, audience) = (issuer.name.clone(), issuer.audience.clone());
        Ok(Self(Arc::new(Inner { issuer, audience, keys, clock })))
    }

    /// Checks a token with the keys at hand.
    pub fn check(&self, token: &[u8]) -> Result<Token, InvalidToken> {
        let header = decode_header(token).map_err(|_: _| InvalidToken::Invalid("it is malformed"))?;
        if header.crit.is_some() {
            return Err(InvalidToken::Invalid("it has critical extensions"));
        }
        let keys = self.0.keys.all().ok_or(InvalidToken::NoKeys)?;
        let only = keys.len() == 1;
        let named = keys.iter().filter(|key| key.is_named(header.kid.as_deref(), only));
        let mut result = Err(InvalidToken::UnknownKey);
        for key in named {
            result = self.verify(token, key);
            if result.is_ok() {
                break;
            }
        }
        let claims = result?;
        claims.token(self.0.clock.now())
    }

    /// Checks a token that names an unknown key, once the keys were fetched anew.
    pub async fn check_anew(&self, token: &[u8]) -> Result<Token, InvalidToken> {
        self.0.keys.refresh().await;
        self.check(token)
    }

    /// Keeps the keys fresh, until the service stops.
    pub async fn run(self, stopping: CancellationToken) {
        self.0.keys.run(&stopping).await;
    }

    /// The claims, if the key signed them for us. The algorithm is the key's: a token that names another is refused.
    fn verify(&self, token: &[u8], key: &VerifyingKey) -> Result<Claims, InvalidToken> {
        let mut wanted = Validation::new(key.algorithm);
        wanted.set_audience(&self.0.audience);
        let mut required = vec!["exp", "aud"];
        if let Some(issuer) = &self.0.issuer {
            wanted.set_issuer(&[issuer]);
            required.push("iss");
        }
        wanted.set_required_spec_claims(&required);
        // Times are checked by our own clock.
        wanted.validate_exp = false;
        decode(token, &key.key, &wanted).map(|data| data.claims).map_err(|error| {
            InvalidToken::Invalid(match error.kind() {
                ErrorKind::InvalidAlgorithm => "its algorithm is not that of the key",
                ErrorKind::InvalidSignature => "its signature is wrong",
                ErrorKind::InvalidIssuer => "it is of another issuer",
                ErrorKind::InvalidAudience => "it is for another audience",
                ErrorKind::MissingRequiredClaim(_) => "it lacks exp, aud or iss",
                _ => "it is malformed",
            })
        })
    }
}

impl Claims {
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^53")]
    fn token(self, now: DateTime<Utc>) -> Result<Token, InvalidToken> {
        let now = now.timestamp() as f64;
        if self.exp + LEEWAY_SECONDS <= now {
            return Err(InvalidToken::Expired);
        }
        if self.nbf.is_some_and(|begins| begins - LEEWAY_SECONDS > now) {
            return Err(InvalidToken::Invalid("it is not valid yet"));
        }
        if self.business_id.as_ref().is_some_and(String::is_empty) {
            return Err(InvalidToken::Invalid("its business_id is empty"));
        }
        let scopes: Scopes = self.scope.scopes().iter().chain(self.scp.scopes().iter()).collect();
        let allowed = if self.business_id.is_some() { Scopes::of_one_business() } else { Scopes::all() };
        Ok(Token {
            fingerprint: self.fingerprint(),
            scopes: scopes.and(allowed),
            business_id: self.business_id,
        })
    }

    fn fingerprint(&self) -> u64 {
        let mut hash = Sha256::new();
        for part in [&self.iss, &self.sub, &self.client_id, &self.azp] {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
        let hash: [u8; 32] = hash.finalize().into();
        let (fingerprint, _) = hash.split_first_chunk().expect("a digest has 32 bytes");
        u64::from_le_bytes(*fingerprint)
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}
