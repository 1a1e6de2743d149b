//! API keys, compared in the same time whatever is presented.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::{ApiKey, MAX_KEY_BYTES};

/// What a request says about its caller's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// It presents no key, or an empty one.
    Missing,
    /// It presents a key that is not valid.
    Invalid,
    /// It presents the valid key with this index.
    Valid(u16),
}

/// The valid keys, kept as digests. `Debug` shows how many there are.
pub struct Keys(Vec<[u8; 32]>);

impl Keys {
    /// The keys of the configuration.
    #[must_use]
    pub fn new(keys: &[ApiKey]) -> Self {
        Self(keys.iter().map(|key| digest(key.expose().as_bytes())).collect())
    }

    /// Whether there is any key, that is: whether protected routes are protected.
    #[must_use]
    pub fn are_required(&self) -> bool {
        !self.0.is_empty()
    }

    /// Checks a presented key. Every comparison hashes the same number of bytes and looks at every key.
    #[must_use]
    pub fn check(&self, presented: Option<&[u8]>) -> Credential {
        let Some(presented) = presented.filter(|key| !key.is_empty()) else { return Credential::Missing };
        let presented = digest(presented);
        let mut found = Credential::Invalid;
        for (key, index) in self.0.iter().zip(0..) {
            if key.ct_eq(&presented).into() {
                found = Credential::Valid(index);
            }
        }
        found
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

/// Hashes a key in a frame of fixed size, so that the time tells nothing of its length. A longer key than any
/// valid one is cut; its length, which is hashed too, keeps it from matching.
fn digest(key: &[u8]) -> [u8; 32] {
    let mut frame = [0; MAX_KEY_BYTES];
    let kept = key.len().min(frame.len());
    frame[..kept].copy_from_slice(&key[..kept]);
    let mut hash = Sha256::new();
    hash.update(key.len().to_le_bytes());
    hash.update(frame);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Setting;

    fn keys(list: &str) -> Keys {
        Keys::new(&Vec::<ApiKey>::read(list).unwrap())
    }

    #[test]
    fn every_configured_key_is_valid_and_no_other() {
        let keys = keys("alpha, beta");
        assert_eq!(keys.check(Some(b"alpha")), Credential::Valid(0));
        assert_eq!(keys.check(Some(b"beta")), Credential::Valid(1));
        for wrong in ["alph", "alphaa", "Alpha", "alpha,beta", "\0", "alpha\0"] {
            assert_eq!(keys.check(Some(wrong.as_bytes())), Credential::Invalid, "{wrong:?}");
        }
        assert_eq!(keys.check(Some(b"")), Credential::Missing);
        assert_eq!(keys.check(None), Credential::Missing);
    }

    #[test]
    fn a_key_that_only_begins_like_a_valid_one_is_invalid_however_long() {
        let longest = "k".repeat(MAX_KEY_BYTES);
        let keys = keys(&longest);
        assert_eq!(keys.check(Some(longest.as_bytes())), Credential::Valid(0));
        assert_eq!(keys.check(Some(longest.repeat(9).as_bytes())), Credential::Invalid);
    }

    #[test]
    fn debug_output_holds_no_key() {
        assert_eq!(format!("{:?}", keys("alpha,beta")), "Keys(2)");
    }
}
