//! Why a request without valid credentials is rejected.

use crate::auth::Denied;
use crate::auth::key::KeyId;
use crate::http::error::ApiError;
use crate::quota::Decision;

/// A rejected request without valid credentials.
pub(in crate::http) struct Refused {
    pub(in crate::http) why: Why,
    pub(in crate::http) error: ApiError,
    pub(in crate::http) key: Option<KeyId>,
}

/// The kind of rejection, which decides how the request is counted.
pub(in crate::http) enum Why {
    /// A failed attempt.
    Failed,
    /// Too many failed attempts, as decided by their quota.
    TooOften(Decision),
    /// The credentials cannot be checked at the moment; this is not a failed attempt.
    Unavailable,
}

impl Refused {
    pub(in crate::http) fn too_often(failures: Decision) -> Self {
        let error = ApiError::Throttled(failures.window, failures.retry_after_seconds());
        Self { why: Why::TooOften(failures), error, key: None }
    }
}

impl From<Denied> for Refused {
    fn from(denied: Denied) -> Self {
        let (error, key) = match denied {
            Denied::Missing => (ApiError::KeyMissing, None),
            Denied::Invalid(key) => (ApiError::KeyInvalid, key),
            Denied::Unknown(_) => (ApiError::KeyInvalid, None),
            Denied::Expired(key) => (ApiError::KeyExpired, Some(key)),
            Denied::InvalidToken(why) => (ApiError::TokenInvalid(why), None),
            Denied::ExpiredToken => (ApiError::TokenExpired, None),
            Denied::Unavailable(what) => {
                return Self { why: Why::Unavailable, error: ApiError::NotReady(what), key: None };
            }
        };
        Self { why: Why::Failed, error, key }
    }
}
