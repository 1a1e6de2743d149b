//! Bearer tokens: signed JWTs (RFC 7519) of a known issuer.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Validation, decode, decode_header};
use parking_lot::Mutex;
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::jwks::{Jwks, VerifyingKey};
use super::key::Scopes;
use crate::clock::Clock;
use crate::config::Issuer;

/// The accepted difference between the clocks of the issuer and the service, in seconds.
const LEEWAY_SECONDS: f64 = 60.0;

/// The maximum number of tokens that are remembered as verified; beyond it all are forgotten, and remembered again when they are
/// presented.
const MAX_VERIFIED: usize = 10_000;

/// The claims of a valid token that matter to the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// A hash that identifies whom the token was issued to.
    pub fingerprint: u64,
    /// The scopes it grants.
    pub scopes: Scopes,
    /// The only business it is valid for; `None` for all.
    pub business_id: Option<String>,
}

/// Why a token is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidToken {
    /// It is not valid, for this reason.
    Invalid(&'static str),
    /// It has expired.
    Expired,
    /// It was signed with an unknown key.
    UnknownKey,
    /// The issuer's keys have never been fetched.
    NoKeys,
}

/// Verifies bearer tokens.
#[derive(Clone)]
pub struct TokenVerifier(Arc<Inner>);

struct Inner {
    issuer: Option<String>,
    audience: Vec<String>,
    keys: Jwks,
    clock: Clock,
    verified: Mutex<HashMap<[u8; 32], u64>>,
}

/// The claims that are read.
#[derive(Debug, Deserialize)]
struct Claims {
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
    #[serde(default)]
    iss: String,
    #[serde(default)]
    sub: String,
    /// The client, under either name (RFC 9068; `OpenID` Connect).
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    azp: String,
    #[serde(default)]
    scope: ScopeClaim,
    #[serde(default)]
    scp: ScopeClaim,
    #[serde(default, deserialize_with = "empty_if_null")]
    business_id: Option<String>,
}

/// Maps a null claim to an empty one: a token meant to be bound to a business must not pass as unbound.
fn empty_if_null<'de, D: Deserializer<'de>>(claim: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(claim).map(|text: Option<String>| Some(text.unwrap_or_default()))
}

/// Scopes as one space-separated string or as a list: issuers differ.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum ScopeClaim {
    Text(String),
    List(Vec<String>),
}

impl Default for ScopeClaim {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl ScopeClaim {
    fn scopes(&self) -> Scopes {
        match self {
            Self::Text(text) => Scopes::from_words(text.split(' ')),
            Self::List(list) => Scopes::from_words(list.iter().map(String::as_str)),
        }
    }
}

fn digest(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

impl TokenVerifier {
    /// Creates a verifier for tokens of `issuer`. Errors need an operator to fix them.
    pub fn new(issuer: &Issuer, clock: Clock) -> Result<Self, String> {
        let keys = Jwks::new(issuer.keys.clone(), clock.clone());
        let keys = keys.map_err(|error| format!("cannot verify tokens: {error}"))?;
        let (issuer, audience) = (issuer.name.clone(), issuer.audience.clone());
        Ok(Self(Arc::new(Inner { issuer, audience, keys, clock, verified: Mutex::default() })))
    }

    /// Verifies a token with the keys fetched so far.
    pub fn verify(&self, token: &[u8]) -> Result<Token, InvalidToken> {
        let header = decode_header(token).map_err(|_: _| InvalidToken::Invalid("malformed"))?;
        if header.crit.is_some() {
            return Err(InvalidToken::Invalid("unsupported critical header"));
        }
        let keys = self.0.keys.all().ok_or(InvalidToken::NoKeys)?;
        let is_only = keys.len() == 1;
        let named = keys.iter().filter(|key| key.matches(header.kid.as_deref(), is_only));
        let mut result = Err(InvalidToken::UnknownKey);
        for key in named {
            result = self.decode_claims(token, key);
            if result.is_ok() {
                break;
            }
        }
        let claims = result?;
        let verified = claims.token(self.0.clock.now())?;
        self.remember(token, verified.fingerprint);
        Ok(verified)
    }

    /// Returns the fingerprint of a token that was valid when it was presented before.
    #[must_use]
    pub fn verified_before(&self, token: &[u8]) -> Option<u64> {
        self.0.verified.lock().get(&digest(token)).copied()
    }

    fn remember(&self, token: &[u8], fingerprint: u64) {
        let mut verified = self.0.verified.lock();
        if verified.len() >= MAX_VERIFIED {
            verified.clear();
        }
        verified.insert(digest(token), fingerprint);
    }

    /// Fetches the keys again and verifies a token signed with an unknown key.
    pub async fn refresh_and_verify(&self, token: &[u8]) -> Result<Token, InvalidToken> {
        self.0.keys.refresh().await;
        self.verify(token)
    }

    /// Keeps the keys up to date until the service stops.
    pub async fn run(self, stopping: CancellationToken) {
        self.0.keys.run(&stopping).await;
    }

    /// Returns the claims if `key` signed them for this service. The key decides the algorithm: a token that
    /// names another one is rejected.
    fn decode_claims(&self, token: &[u8], key: &VerifyingKey) -> Result<Claims, InvalidToken> {
        let mut validation = Validation::new(key.algorithm);
        validation.set_audience(&self.0.audience);
        let mut required = vec!["exp", "aud"];
        if let Some(issuer) = &self.0.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        // `Claims::token` checks the times, with the service's own clock.
        validation.validate_exp = false;
        decode(token, &key.key, &validation).map(|data| data.claims).map_err(|error| {
            InvalidToken::Invalid(match error.kind() {
                ErrorKind::InvalidAlgorithm => "wrong algorithm for its key",
                ErrorKind::InvalidSignature => "invalid signature",
                ErrorKind::InvalidIssuer => "wrong issuer",
                ErrorKind::InvalidAudience => "wrong audience",
                ErrorKind::MissingRequiredClaim(_) => "exp, aud or iss is missing",
                _ => "malformed",
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
        if self.nbf.is_some_and(|nbf| nbf - LEEWAY_SECONDS > now) {
            return Err(InvalidToken::Invalid("not valid yet"));
        }
        if self.business_id.as_ref().is_some_and(String::is_empty) {
            return Err(InvalidToken::Invalid("empty business_id"));
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

impl std::fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenVerifier")
    }
}
