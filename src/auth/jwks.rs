//! The public keys of a token issuer (a JWK Set, RFC 7517), as last fetched.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use parking_lot::RwLock;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::KeySource;
use crate::log_on_change::LogOnChange;

/// How long one fetch may take, the metadata of the issuer included.
const FETCH_LIMIT: Duration = Duration::from_secs(2);

/// The maximum size of a response, in bytes.
const MAX_BYTES: usize = 1024 * 1024;

/// How often the keys are fetched, so that those the issuer withdrew are dropped.
const FETCH_EVERY: Duration = Duration::from_mins(10);

/// The minimum time between two fetches caused by unknown keys.
const MIN_PAUSE: TimeDelta = TimeDelta::minutes(1);

/// How often the keys are fetched until a fetch succeeds for the first time.
const RETRY_EVERY: Duration = Duration::from_secs(3);

/// The minimum time between two fetches caused by tokens while there are no keys. Longer than
/// [`FETCH_LIMIT`], so that no request waits for two fetches.
const RETRY_PAUSE: TimeDelta = TimeDelta::seconds(3);

/// A public key and the one algorithm it is accepted for.
pub(super) struct VerifyingKey {
    id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// The keys and where they come from.
pub(super) struct Jwks {
    source: KeySource,
    client: reqwest::Client,
    clock: Clock,
    /// `None` until the first fetch succeeds; kept while the issuer is down.
    keys: RwLock<Option<Arc<Vec<VerifyingKey>>>>,
    fetches: Mutex<Fetches>,
}

/// The state of fetching, locked during a fetch.
struct Fetches {
    /// When the last fetch began.
    last: Option<DateTime<Utc>>,
    log: LogOnChange,
}

/// The part of an issuer's metadata that is used (`OpenID` Connect Discovery 1.0, section 3).
#[derive(Debug, Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

/// A JWK Set. Its keys are parsed one by one, so that an unsupported key does not hide the others.
#[derive(Debug, Deserialize)]
struct RawSet {
    keys: Vec<Value>,
}

impl Jwks {
    pub(super) fn new(source: KeySource, clock: Clock) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("mlops-service/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let log = LogOnChange::new("the token issuer's keys can be fetched again");
        let fetches = Mutex::new(Fetches { last: None, log });
        Ok(Self { source, client, clock, keys: RwLock::default(), fetches })
    }

    /// Returns all keys; `None` if none have ever been fetched.
    pub(super) fn all(&self) -> Option<Arc<Vec<VerifyingKey>>> {
        self.keys.read().clone()
    }

    /// Fetches the keys, unless that was attempted within [`MIN_PAUSE`], or [`RETRY_PAUSE`] while there are
    /// no keys. Concurrent calls share one fetch.
    pub(super) async fn refresh(&self) {
        let mut fetches = self.fetches.lock().await;
        let pause = if self.all().is_some() { MIN_PAUSE } else { RETRY_PAUSE };
        let now = self.clock.now();
        if fetches.last.is_none_or(|last| now - last >= pause) {
            self.fetch_and_store(&mut fetches).await;
        }
    }

    /// Fetches the keys periodically until the service stops.
    pub(super) async fn run(&self, stopping: &CancellationToken) {
        let work = async {
            loop {
                self.fetch_and_store(&mut *self.fetches.lock().await).await;
                sleep(if self.all().is_some() { FETCH_EVERY } else { RETRY_EVERY }).await;
            }
        };
        stopping.run_until_cancelled(work).await;
    }

    async fn fetch_and_store(&self, fetches: &mut Fetches) {
        fetches.last = Some(self.clock.now());
        let response = timeout(FETCH_LIMIT, self.fetch()).await;
        fetches.log.update(match response.unwrap_or(Err("the issuer did not respond in time".to_owned())) {
            Ok(keys) => {
                *self.keys.write() = Some(Arc::new(keys));
                None
            }
            Err(why) => Some(format!("cannot fetch the token issuer's keys: {why}")),
        });
    }

    async fn fetch(&self) -> Result<Vec<VerifyingKey>, String> {
        let address = match &self.source {
            KeySource::KeySet(address) => address.url.to_string(),
            KeySource::Issuer(issuer) => {
                let text = issuer.url.as_str().trim_end_matches('/');
                let metadata: Metadata =
                    self.get(&format!("{text}/.well-known/openid-configuration")).await?;
                if metadata.issuer != issuer.text {
                    return Err(format!(
                        "OIDC_ISSUER must be {:?}, the name in the issuer's metadata",
                        metadata.issuer
                    ));
                }
                if issuer.url.scheme() == "https" && !metadata.jwks_uri.starts_with("https://") {
                    return Err("the issuer's jwks_uri does not use https://".to_owned());
                }
                metadata.jwks_uri
            }
        };
        let set: RawSet = self.get(&address).await?;
        let keys: Vec<_> = set.keys.into_iter().filter_map(VerifyingKey::parse).collect();
        match keys.is_empty() {
            true => Err(format!("{address} has no RS256, ES256 or EdDSA signing key")),
            false => Ok(keys),
        }
    }

    async fn get<T: DeserializeOwned>(&self, address: &str) -> Result<T, String> {
        let response = self.client.get(address).send().await.and_then(reqwest::Response::error_for_status);
        let mut response = response.map_err(|error| describe(&error))?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| describe(&error))? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BYTES {
                return Err(format!("the response from {address} exceeds {MAX_BYTES} bytes"));
            }
        }
        serde_json::from_slice(&body).map_err(|error| format!("unexpected response from {address}: {error}"))
    }
}

/// Returns the error with its causes, which reqwest leaves out of its text.
fn describe(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl VerifyingKey {
    /// Parses a key. Returns `None` if it is not for signatures, or for an algorithm that is not accepted.
    fn parse(value: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let is_for_signatures =
            jwk.common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
        let (algorithm, named) = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                (Algorithm::ES256, KeyAlgorithm::ES256)
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
            }
            _ => return None,
        };
        let fits = is_for_signatures && jwk.common.key_algorithm.is_none_or(|algorithm| algorithm == named);
        let key = DecodingKey::from_jwk(&jwk).ok().filter(|_| fits)?;
        Some(Self { id: jwk.common.key_id, algorithm, key })
    }

    /// Returns whether a token names this key by its `kid`. A token without one matches the only key of an
    /// issuer.
    pub(super) fn matches(&self, id: Option<&str>, only: bool) -> bool {
        match id {
            Some(id) => self.id.as_deref() == Some(id),
            None => only,
        }
    }
}
