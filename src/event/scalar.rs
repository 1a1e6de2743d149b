//! JSON values as far as a report needs them: scalars are kept, nested values are only recognized.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, Error};
use serde_json::value::RawValue;

/// One JSON value of a report. Strings without escapes are borrowed from the body.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum Scalar<'a> {
    /// Absent, or `null`.
    #[default]
    Null,
    Bool(bool),
    /// A number; exact up to 2^53, which is beyond every bound a field has. One that no `f64` can hold is infinite.
    Number(f64),
    Text(Cow<'a, str>),
    /// An array or an object.
    Nested,
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    /// Reads the value's own text: `serde_json` would refuse `1e400`, which is out of bounds, but JSON all the same.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        Ok(match raw.as_bytes()[0] {
            b'n' => Self::Null,
            b't' | b'f' => Self::Bool(raw == "true"),
            b'[' | b'{' => Self::Nested,
            b'"' if raw.contains('\\') => Self::Text(serde_json::from_str(raw).map_err(D::Error::custom)?),
            b'"' => Self::Text(raw.trim_matches('"').into()),
            _ => Self::Number(raw.parse().map_err(D::Error::custom)?),
        })
    }
}
