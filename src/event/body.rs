//! Reads the JSON of a report as far as its fields need it: scalars of known fields are kept, the rest is skipped.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::fields::Fields;
use super::report::{Item, Refusal, Report};
use super::scalar::Scalar;

/// The JSON value that a body is.
pub(super) enum Root<'a> {
    Object(Box<Fields<'a>>),
    /// `null`, `{}` or `[]`.
    Empty,
    Other,
}

impl<'a> Root<'a> {
    /// Returns the report, if the body is one.
    pub(super) fn into_report(self) -> Item<'a> {
        match self {
            Self::Object(fields) => Ok(Report(fields)),
            Self::Empty => Err(Refusal::NoData),
            Self::Other => Err(Refusal::NotObject),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Root<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RootVisitor::<Scalar<'_>>(PhantomData))
    }
}

/// Parses a body, as text if it is UTF-8: of bytes, `serde_json` checks each string by itself.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> serde_json::Result<T> {
    match str::from_utf8(body) {
        Ok(text) => serde_json::from_str(text),
        Err(_) => serde_json::from_slice(body),
    }
}

/// Parses a refused body again, accepting numbers that no `f64` can hold, such as `1e400`: they are JSON, but `serde_json`
/// refuses them. Returns `None` if the body is not JSON. It is slower, and rarely needed.
pub(super) fn parse_unbounded(body: &[u8]) -> Option<Root<'_>> {
    let whole = parse::<&RawValue>(body).ok()?.get();
    if !whole.starts_with('{') {
        return Some(Root::Other);
    }
    serde_json::Deserializer::from_str(whole).deserialize_any(RootVisitor::<Unbounded<'_>>(PhantomData)).ok()
}

/// A value whose number may have any size.
struct Unbounded<'a>(Scalar<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Unbounded<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        // A number too large for an `f64` becomes infinity, which is beyond every bound.
        let read = match raw.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
            true => raw.parse().map(Scalar::Number).map_err(D::Error::custom),
            false => serde_json::from_str(raw).map_err(D::Error::custom),
        };
        read.map(Self)
    }
}

impl<'a> From<Unbounded<'a>> for Scalar<'a> {
    fn from(value: Unbounded<'a>) -> Self {
        value.0
    }
}

struct RootVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de> + Into<Scalar<'de>>> Visitor<'de> for RootVisitor<V> {
    type Value = Root<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Root::Empty)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Root::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Root::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Root::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Root::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Root::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut root = Root::Empty;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            root = Root::Other;
        }
        Ok(root)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Box::<Fields<'de>>::default();
        let mut empty = true;
        while let Some(name) = map.next_key::<Scalar<'de>>()? {
            empty = false;
            let Scalar::Text(name) = name else { continue };
            match fields.slot(&name) {
                Some(slot) => *slot = map.next_value::<V>()?.into(),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(if empty { Root::Empty } else { Root::Object(fields) })
    }
}
