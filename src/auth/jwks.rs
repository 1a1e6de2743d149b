//! The public keys of a token issuer (a JWK Set, RFC 7517), as last fetched.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::KeySource;
use crate::log_on_change::LogOnChange;

/// How long the issuer may take for all that it is asked.
const FETCH_LIMIT: Duration = Duration::from_secs(2);

/// The largest answer that is read, in bytes.
const MAX_BYTES: usize = 1024 * 1024;

/// How often the keys are fetched, so that one the issuer withdrew is forgotten.
const FETCH_EVERY: Duration = Duration::from_mins(10);

/// The least time between two fetches that unknown keys cause.
const MIN_PAUSE: TimeDelta = TimeDelta::minutes(1);

/// How often the keys are fetched until that has succeeded once.
const RETRY_EVERY: Duration = Duration::from_secs(3);

/// The same for fetches that tokens cause; longer than one may take, so that nobody waits for two.
const RETRY_PAUSE: TimeDelta = TimeDelta::seconds(3);

/// A public key, for the one algorithm that it is for.
pub(super) struct VerifyingKey {
    id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// The keys, and where they come from.
pub(super) struct Jwks {
    source: KeySource,
    client: reqwest::Client,
    clock: Clock,
    /// `None` until they were fetched for the first time; kept while the issuer is down.
    keys: RwLock<Option<Arc<Vec<VerifyingKey>>>>,
    fetches: Mutex<Fetches>,
}

/// What is known of the fetches so far. Whoever fetches has it locked.
struct Fetches {
    /// When the last one began.
    last: Option<DateTime<Utc>>,
    log: LogOnChange,
}

/// What of an issuer's metadata is used (`OpenID` Connect Discovery 1.0, section 3).
#[derive(Debug, Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

/// A set whose keys are read one by one, so that one which is not understood does not hide the others.
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
        let log = LogOnChange::new("the keys of the token issuer can be fetched again");
        let fetches = Mutex::new(Fetches { last: None, log });
        Ok(Self { source, client, clock, keys: RwLock::default(), fetches })
    }

    /// All keys; `None` when none were ever fetched.
    pub(super) fn all(&self) -> Option<Arc<Vec<VerifyingKey>>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fetches the keys, unless that was tried within the last minute, or, without any keys so far, a moment ago. Whoever
    /// comes while they are fetched waits for the result.
    pub(super) async fn refresh(&self) {
        let mut fetches = self.fetches.lock().await;
        let pause = if self.all().is_some() { MIN_PAUSE } else { RETRY_PAUSE };
        let now = self.clock.now();
        if fetches.last.is_none_or(|last| now - last >= pause) {
            self.fetch_and_keep(&mut fetches).await;
        }
    }

    /// Fetches the keys again and again, until the service stops.
    pub(super) async fn run(&self, stopping: &CancellationToken) {
        let work = async {
            loop {
                self.fetch_and_keep(&mut *self.fetches.lock().await).await;
                sleep(if self.all().is_some() { FETCH_EVERY } else { RETRY_EVERY }).await;
            }
        };
        stopping.run_until_cancelled(work).await;
    }

    async fn fetch_and_keep(&self, fetches: &mut Fetches) {
        fetches.last = Some(self.clock.now());
        let answer = timeout(FETCH_LIMIT, self.fetch()).await;
        fetches.log.update(match answer.unwrap_or(Err("the issuer does not answer in time".to_owned())) {
            Ok(keys) => {
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(keys));
                None
            }
            Err(why) => Some(format!("the keys of the token issuer cannot be fetched: {why}")),
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
                        "OIDC_ISSUER must be {:?}, as the issuer calls itself",
                        metadata.issuer
                    ));
                }
                if issuer.url.scheme() == "https" && !metadata.jwks_uri.starts_with("https://") {
                    return Err("the issuer names an address for its keys that is not encrypted".to_owned());
                }
                metadata.jwks_uri
            }
        };
        let set: RawSet = self.get(&address).await?;
        let keys: Vec<_> = set.keys.into_iter().filter_map(VerifyingKey::read).collect();
        match keys.is_empty() {
            true => Err(format!("{address} shows no key for signatures with RS256, ES256 or EdDSA")),
            false => Ok(keys),
        }
    }

    async fn get<T: DeserializeOwned>(&self, address: &str) -> Result<T, String> {
        let answer = self.client.get(address).send().await.and_then(reqwest::Response::error_for_status);
        let mut answer = answer.map_err(|error| describe(&error))?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| describe(&error))? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BYTES {
                return Err(format!("{address} answers more than {MAX_BYTES} bytes"));
            }
        }
        serde_json::from_slice(&body)
            .map_err(|error| format!("{address} does not answer as expected: {error}"))
    }
}

/// The error and what caused it, which reqwest leaves out of its text.
fn describe(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl VerifyingKey {
    /// Reads a key; `None` if it is not for signatures, or for an algorithm that is not accepted.
    fn read(value: Value) -> Option<Self> {
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

    /// Whether it is the key that a token names. A token that names none is for the only key of an issuer.
    pub(super) fn is_named(&self, id: Option<&str>, only: bool) -> bool {
        match id {
            Some(id) => self.id.as_deref() == Some(id),
            None => only,
        }
    }
}
