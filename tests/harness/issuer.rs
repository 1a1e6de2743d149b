//! A fake issuer of bearer tokens.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};

/// A signing key of an issuer.
pub(crate) struct SigningKey {
    pub(crate) id: &'static str,
    pub(crate) algorithm: Algorithm,
    pub(crate) key: EncodingKey,
    pub(crate) pair: KeyPair,
}

impl SigningKey {
    pub(crate) fn new(id: &'static str, algorithm: Algorithm) -> Self {
        let pair = match algorithm {
            Algorithm::RS256 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap(),
            Algorithm::ES256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(),
            _ => KeyPair::generate_for(&PKCS_ED25519).unwrap(),
        };
        let pem = pair.serialize_pem();
        let key = match algorithm {
            Algorithm::RS256 => EncodingKey::from_rsa_pem(pem.as_bytes()),
            Algorithm::ES256 => EncodingKey::from_ec_pem(pem.as_bytes()),
            _ => EncodingKey::from_ed_pem(pem.as_bytes()),
        };
        Self { id, algorithm, key: key.unwrap(), pair }
    }

    /// Returns the public key as a JWK, as the issuer publishes it.
    pub(crate) fn public(&self) -> Value {
        if self.algorithm == Algorithm::EdDSA {
            let x = base64_url(self.pair.public_key_raw());
            return json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": self.id, "use": "sig"});
        }
        let mut jwk =
            serde_json::to_value(Jwk::from_encoding_key(&self.key, self.algorithm).unwrap()).unwrap();
        jwk["kid"] = json!(self.id);
        jwk
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.to_owned()), ..Header::new(self.algorithm) };
        encode(&header, claims, &self.key).unwrap()
    }
}

/// The published keys; `None` if requests for them fail.
type Shown = Arc<Mutex<Option<Vec<Value>>>>;

/// A server that publishes the metadata and keys of an issuer.
pub(crate) struct FakeIssuer {
    pub(crate) url: String,
    shown: Shown,
    fetches: Arc<Mutex<u32>>,
}

impl FakeIssuer {
    pub(crate) async fn start(keys: &[&SigningKey]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (shown, fetches) = (Shown::default(), Arc::<Mutex<u32>>::default());
        let metadata = json!({"issuer": url, "jwks_uri": format!("{url}/certs")});
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(async move || Json(metadata)))
            .route("/certs", get(certificates))
            .with_state((shown.clone(), fetches.clone()));
        #[expect(clippy::disallowed_methods, reason = "it ends with the runtime of its test")]
        tokio::spawn(async move { axum::serve(listener, router).await });
        let issuer = Self { url, shown, fetches };
        issuer.show(Some(keys));
        issuer
    }

    /// Sets the published keys; with `None`, requests for them fail.
    pub(crate) fn show(&self, keys: Option<&[&SigningKey]>) {
        *self.shown.lock().unwrap() = keys.map(|keys| keys.iter().map(|key| key.public()).collect());
    }

    /// Publishes one more key.
    pub(crate) fn show_too(&self, key: Value) {
        self.shown.lock().unwrap().as_mut().unwrap().push(key);
    }

    /// Returns how many times the keys were requested.
    pub(crate) fn fetches(&self) -> u32 {
        *self.fetches.lock().unwrap()
    }
}

async fn certificates(
    State((shown, fetches)): State<(Shown, Arc<Mutex<u32>>)>,
) -> Result<Json<Value>, StatusCode> {
    *fetches.lock().unwrap() += 1;
    let keys = shown.lock().unwrap().clone().ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
    let strange = json!({"kty": "new", "kid": "strange"});
    Ok(Json(json!({"keys": keys.into_iter().chain([strange]).collect::<Vec<_>>()})))
}

/// Encodes bytes in URL-safe Base64 without padding (RFC 4648, section 5).
pub(crate) fn base64_url(bytes: &[u8]) -> String {
    // Three bytes become four characters of six bits each.
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut encoded = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().chain(&[0, 0]).take(3).fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        for place in 0..=chunk.len() {
            encoded.push(char::from(DIGITS[(bits >> (18 - 6 * place) & 63) as usize]));
        }
    }
    encoded
}
