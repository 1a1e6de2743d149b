//! The keys of `MLOPS_API_KEY`, compared in constant time.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::{ApiKey, MAX_KEY_BYTES};

/// The configured keys, as digests. `Debug` shows how many there are.
pub struct ConfiguredKeys(Vec<[u8; 32]>);

impl ConfiguredKeys {
    /// Creates the set of the configured keys.
    #[must_use]
    pub fn new(keys: &[ApiKey]) -> Self {
        Self(keys.iter().map(|key| digest(key.expose().as_bytes())).collect())
    }

    /// Returns whether any key is configured, so that protected routes need one.
    #[must_use]
    pub fn are_required(&self) -> bool {
        !self.0.is_empty()
    }

    /// Returns the fingerprint of `presented` if it is a valid key. It is the same on every replica, whatever
    /// the order of the keys. Every call hashes the same number of bytes and compares every key.
    #[must_use]
    pub fn check(&self, presented: &[u8]) -> Option<u64> {
        let presented = digest(presented);
        let mut valid = false;
        for key in &self.0 {
            valid |= bool::from(key.ct_eq(&presented));
        }
        valid.then(|| fingerprint(&presented))
    }

    /// Returns whether one of the keys has this fingerprint.
    #[must_use]
    pub fn has(&self, wanted: u64) -> bool {
        self.0.iter().any(|key| fingerprint(key) == wanted)
    }
}

impl std::fmt::Debug for ConfiguredKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ConfiguredKeys({})", self.0.len())
    }
}

fn fingerprint(digest: &[u8; 32]) -> u64 {
    let (fingerprint, _) = digest.split_first_chunk().expect("a digest has 32 bytes");
    u64::from_le_bytes(*fingerprint)
}

/// Hashes a key in a buffer of fixed size, so that the time it takes does not reveal its length. A key longer
/// than any valid one is truncated; its length, which is hashed too, keeps it from matching.
fn digest(key: &[u8]) -> [u8; 32] {
    let mut buffer = [0; MAX_KEY_BYTES];
    let copied = key.len().min(buffer.len());
    buffer[..copied].copy_from_slice(&key[..copied]);
    let mut hash = Sha256::new();
    hash.update(key.len().to_le_bytes());
    hash.update(buffer);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Setting;

    fn keys(list: &str) -> ConfiguredKeys {
        ConfiguredKeys::new(&Vec::<ApiKey>::read(list).unwrap())
    }

    #[test]
    fn every_configured_key_is_valid_and_no_other() {
        let both = keys("alpha, beta");
        let (alpha, beta) = (both.check(b"alpha"), both.check(b"beta"));
        assert!(alpha.is_some() && beta.is_some() && alpha != beta);
        assert_eq!(keys("new, beta").check(b"beta"), beta, "whatever the other keys");
        assert!(both.has(beta.unwrap()) && !keys("alpha").has(beta.unwrap()));
        for wrong in ["", "alph", "alphaa", "Alpha", "alpha,beta", "\0", "alpha\0"] {
            assert_eq!(both.check(wrong.as_bytes()), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_key_with_a_valid_prefix_is_invalid_however_long() {
        let longest = "k".repeat(MAX_KEY_BYTES);
        let keys = keys(&longest);
        assert!(keys.check(longest.as_bytes()).is_some());
        assert_eq!(keys.check(longest.repeat(9).as_bytes()), None);
    }

    #[test]
    fn debug_output_contains_no_key() {
        assert_eq!(format!("{:?}", keys("alpha,beta")), "ConfiguredKeys(2)");
    }
}
