//! JSON scalars. The contents of arrays and objects are discarded: no field of a report accepts them.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, Error};
use serde_json::value::RawValue;

/// The JSON value of a field. Strings without escapes are borrowed from the body.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Scalar<'a> {
    /// Absent, or `null`.
    #[default]
    Null,
    Bool(bool),
    /// A number, exact up to 2^53, which exceeds the bounds of every field; infinite if it is too large for an `f64`.
    Number(f64),
    Text(Cow<'a, str>),
    /// An array or an object.
    Nested,
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    /// Parses the raw text, because `serde_json` rejects numbers such as `1e400`, which are valid JSON.
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
