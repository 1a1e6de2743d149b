//! Secrets, the plain form of a key, which is shown once, and the hash of a secret, which is stored.

use std::fmt;
use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The prefix of every key, by which secret scanners recognise it.
const PREFIX: &str = "mlops_";

/// Bytes of randomness in a secret.
const SECRET_BYTES: usize = 32;

/// The public id of a key: 16 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub u64);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The error of parsing a [`KeyId`] from any other text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the id of a key has 16 hexadecimal digits")]
pub struct NoKeyId;

impl FromStr for KeyId {
    type Err = NoKeyId;

    fn from_str(text: &str) -> Result<Self, NoKeyId> {
        let valid = text.len() == 16 && is_lower_hex(text);
        u64::from_str_radix(text, 16).ok().filter(|_| valid).map(Self).ok_or(NoKeyId)
    }
}

/// A secret of 256 random bits, in lower-case hexadecimal digits. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Generates a new secret.
    #[must_use]
    pub fn generate() -> Self {
        Self(hex::encode(random::<SECRET_BYTES>()).into())
    }

    /// Parses what a caller presents. Returns `None` if it does not have the form of a secret.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let valid = text.len() == 2 * SECRET_BYTES && is_lower_hex(text);
        valid.then(|| Self(text.to_owned().into()))
    }

    /// Returns the secret, to be given to its holder.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Returns its hash.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.expose()).into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A key as its holder has it: `mlops_<public id>_<secret>`, both in lower-case hexadecimal digits. `Debug`
/// shows only the public id.
#[derive(Clone)]
pub struct PlainKey {
    /// The public id.
    pub id: KeyId,
    secret: Secret,
}

impl PlainKey {
    /// Generates a new key with a new id.
    #[must_use]
    pub fn generate() -> Self {
        Self::generate_for(KeyId(u64::from_le_bytes(random())))
    }

    /// Generates a new secret for the key `id`.
    #[must_use]
    pub fn generate_for(id: KeyId) -> Self {
        Self { id, secret: Secret::generate() }
    }

    /// Parses what a caller presents. Returns `None` if it does not have the form of a named key.
    #[must_use]
    pub fn parse(presented: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(presented).ok()?;
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let secret = Secret::parse(secret)?;
        Some(Self { id: id.parse().ok()?, secret })
    }

    /// Returns the whole key, to be shown to its holder.
    #[must_use]
    pub fn expose(&self) -> String {
        format!("{PREFIX}{}_{}", self.id, self.secret.expose())
    }

    /// Returns the hash of the secret.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        self.secret.hash()
    }
}

impl fmt::Debug for PlainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlainKey({})", self.id)
    }
}

/// The SHA-256 of a secret. Secrets have 256 random bits, so a slow hash would not make guessing any harder.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretHash(pub [u8; 32]);

impl SecretHash {
    /// A hash that no known secret has.
    pub const PLACEHOLDER: Self = Self([0; 32]);
}

impl ConstantTimeEq for SecretHash {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash")
    }
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system provides random numbers");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_parsed_from_its_plain_form() {
        let key = PlainKey::generate();
        let plain = key.expose();
        assert_eq!(plain.len(), 6 + 16 + 1 + 64);
        let read = PlainKey::parse(plain.as_bytes()).unwrap();
        assert_eq!((read.id, read.hash()), (key.id, key.hash()));
        assert_ne!(PlainKey::generate_for(key.id).hash(), key.hash());
    }

    #[test]
    fn anything_else_than_a_key_is_rejected() {
        let plain = PlainKey::generate().expose();
        let cut = &plain[..plain.len() - 1];
        let upper = plain.to_uppercase();
        for wrong in
            ["", "mlops_", "mlops__", cut, &format!("{plain}0"), &upper, &plain.replacen('_', "-", 2)]
        {
            assert!(PlainKey::parse(wrong.as_bytes()).is_none(), "{wrong}");
        }
        assert!(PlainKey::parse(b"mlops_\xff").is_none());
    }

    #[test]
    fn debug_output_contains_no_secret() {
        let key = PlainKey::generate();
        assert_eq!(format!("{key:?}"), format!("PlainKey({})", key.id));
        assert_eq!(format!("{:?}", key.hash()), "SecretHash");
        assert_eq!(format!("{:?}", Secret::generate()), "Secret");
    }
}
