//! Why a request is refused that presents nothing valid.

use crate::auth::Denied;
use crate::auth::key::KeyId;
use crate::http::error::ApiError;
use crate::quota::Decision;

/// A request without anything valid.
pub(super) struct Refused {
    pub(super) why: Why,
    pub(super) error: ApiError,
    pub(super) key: Option<KeyId>,
}

/// What keeps it from being anything valid.
pub(super) enum Why {
    /// It is a failed attempt.
    Failed,
    /// It is one too many, as the quota of failed attempts says.
    TooOften(Decision),
    /// Nobody can tell now, which is no fault of the caller's.
    Unavailable,
}

impl Refused {
    pub(super) fn too_often(failures: Decision) -> Self {
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
