//! The kinds of fields: how values are validated, and how they are serialised to reports.

use std::mem::take;
use std::ops::RangeInclusive;

use serde_json::Value as Json;
use uuid::Uuid;

use super::FOREIGN_ID_PREFIXES;
use super::column::{Column, Get, Getter};
use super::report::Refusal;
use super::scalar::Scalar;
use crate::shape::Shape;

const MAX_WHOLE: f64 = 2_147_483_647.0;
const MAX_COST_USD: f64 = 9_999.999_999;

/// A kind of field.
pub(super) trait Kind {
    /// The type of the value in an event.
    type Value;

    /// Whether an invalid value counts as null, rather than refusing the event.
    const INVALID_IS_NULL: bool = false;

    /// Converts a value that is not null. Returns `None` if it has the wrong type or is out of bounds.
    fn accept(&self, value: Scalar<'_>) -> Option<Self::Value>;

    /// Converts a value as databases and their tools write it, such as the text `0.9500`, to that of a report. Leaves what it does not know.
    fn loosen<'a>(&self, value: Scalar<'a>) -> Scalar<'a> {
        value
    }

    /// Returns what a valid value must be, for error messages.
    fn must_be(&self) -> String;

    /// Returns the schema of a value that is not null.
    fn shape(&self) -> Shape;

    /// Returns the value in the form that reports use.
    fn report(&self, value: &Self::Value) -> Json;
}

/// A kind of field that is stored in a column.
pub(super) trait Stored: Kind {
    /// Returns the getter of the column's value.
    fn getter(get: Get<Self::Value>) -> Getter;
}

/// Validates the value of `field`. Returns `None` if it is absent or null, or counts as null.
pub(super) fn check<K: Kind>(
    kind: &K,
    field: &'static str,
    value: Scalar<'_>,
) -> Result<Option<K::Value>, Refusal> {
    if value == Scalar::Null {
        return Ok(None);
    }
    let value = kind.accept(value);
    if value.is_none() && K::INVALID_IS_NULL {
        return Ok(None);
    }
    value.map(Some).ok_or_else(|| Refusal::Invalid { field, must_be: kind.must_be() })
}

/// Converts a value of a row of a table to that of a report.
pub(super) fn loosen<K: Kind>(kind: &K, value: &mut Scalar<'_>) {
    *value = kind.loosen(take(value));
}

/// Returns a value in the form that reports use; null for `None`.
pub(super) fn reported<'v, K: Kind>(kind: &K, value: impl Into<Option<&'v K::Value>>) -> Json
where
    K::Value: 'v,
{
    value.into().map_or(Json::Null, |value| kind.report(value))
}

/// Returns the schema of a field's values.
pub(super) fn shape(kind: &impl Kind) -> Shape {
    kind.shape()
}

/// Returns a schema with what an absent value stands for, if that has a value.
pub(super) fn absent_as(shape: Shape, value: Json) -> Shape {
    if value.is_null() { shape } else { shape.by_default(value) }
}

/// Returns the column that stores a field.
pub(super) fn column<K: Stored>(_: &K, name: &'static str, get: Get<K::Value>) -> Column {
    Column { name, get: K::getter(get) }
}

/// A string whose number of characters is in this range.
pub(super) struct Text(pub(super) RangeInclusive<usize>);

impl Kind for Text {
    type Value = String;

    fn accept(&self, value: Scalar<'_>) -> Option<String> {
        let Scalar::Text(text) = value else { return None };
        let fits = self.0.contains(&text.chars().count()) && !text.contains(char::is_control);
        fits.then(|| text.into_owned())
    }

    fn must_be(&self) -> String {
        let (min, max) = (self.0.start(), self.0.end());
        format!("must be a string of {min} to {max} characters, without control characters")
    }

    fn shape(&self) -> Shape {
        Shape::text(self.0.clone())
    }

    fn report(&self, value: &String) -> Json {
        value.as_str().into()
    }
}

impl Stored for Text {
    fn getter(get: Get<String>) -> Getter {
        Getter::Text(get)
    }
}

/// An integer from 0 to [`i32::MAX`].
pub(super) struct Whole;

impl Kind for Whole {
    type Value = i32;

    fn accept(&self, value: Scalar<'_>) -> Option<i32> {
        number(&value, MAX_WHOLE).filter(|number| number.fract() == 0.0).map(rounded)
    }

    fn loosen<'a>(&self, value: Scalar<'a>) -> Scalar<'a> {
        as_number(value)
    }

    fn must_be(&self) -> String {
        format!("must be a whole number from 0 to {MAX_WHOLE}")
    }

    fn shape(&self) -> Shape {
        Shape::whole(0..=i64::from(i32::MAX))
    }

    fn report(&self, value: &i32) -> Json {
        (*value).into()
    }
}

impl Stored for Whole {
    fn getter(get: Get<i32>) -> Getter {
        Getter::Int(get)
    }
}

/// A number of milliseconds, rounded half up.
pub(super) struct Milliseconds;

impl Kind for Milliseconds {
    type Value = i32;

    fn accept(&self, value: Scalar<'_>) -> Option<i32> {
        number(&value, MAX_WHOLE).map(rounded)
    }

    fn loosen<'a>(&self, value: Scalar<'a>) -> Scalar<'a> {
        as_number(value)
    }

    fn must_be(&self) -> String {
        must_be_a_number(MAX_WHOLE)
    }

    fn shape(&self) -> Shape {
        Shape::number(0.0..=MAX_WHOLE)
    }

    fn report(&self, value: &i32) -> Json {
        (*value).into()
    }
}

impl Stored for Milliseconds {
    fn getter(get: Get<i32>) -> Getter {
        Getter::Int(get)
    }
}

/// A rate from 0 to 1, stored as 1 if none was reported.
pub(super) struct SuccessRate;

impl Kind for SuccessRate {
    type Value = f64;

    fn accept(&self, value: Scalar<'_>) -> Option<f64> {
        number(&value, 1.0)
    }

    fn loosen<'a>(&self, value: Scalar<'a>) -> Scalar<'a> {
        as_number(value)
    }

    fn must_be(&self) -> String {
        must_be_a_number(1.0)
    }

    fn shape(&self) -> Shape {
        Shape::number(0.0..=1.0)
    }

    fn report(&self, value: &f64) -> Json {
        (*value).into()
    }
}

impl Stored for SuccessRate {
    fn getter(get: Get<f64>) -> Getter {
        Getter::SuccessRate(get)
    }
}

/// A rating from 0 to 1 by a customer. Anything else is ignored, because an event must not be lost for it.
pub(super) struct Satisfaction;

impl Kind for Satisfaction {
    type Value = f64;

    const INVALID_IS_NULL: bool = true;

    fn accept(&self, value: Scalar<'_>) -> Option<f64> {
        SuccessRate.accept(value)
    }

    fn loosen<'a>(&self, value: Scalar<'a>) -> Scalar<'a> {
        as_number(value)
    }

    fn must_be(&self) -> String {
        SuccessRate.must_be()
    }

    fn shape(&self) -> Shape {
        Shape::any_of([SuccessRate.shape(), Shape::any().about("Any other value is ignored.")])
    }

    fn report(&self, value: &f64) -> Json {
        SuccessRate.report(value)
    }
}

impl Stored for Satisfaction {
    fn getter(get: Get<f64>) -> Getter {
        Getter::Rating(get)
    }
}

/// An amount of US dollars, converted to millionths.
pub(super) struct Usd;

impl Kind for Usd {
    type Value = i64;

    fn accept(&self, value: Scalar<'_>) -> Option<i64> {
        number(&value, MAX_COST_USD).map(micros)
    }

    fn loosen<'a>(&self, value: Scalar<'a>) -> Scalar<'a> {
        as_number(value)
    }

    fn must_be(&self) -> String {
        must_be_a_number(MAX_COST_USD)
    }

    fn shape(&self) -> Shape {
        Shape::number(0.0..=MAX_COST_USD)
    }

    #[expect(clippy::cast_precision_loss, reason = "no amount reaches 2^53 millionths")]
    fn report(&self, value: &i64) -> Json {
        (*value as f64 / 1e6).into()
    }
}

impl Stored for Usd {
    fn getter(get: Get<i64>) -> Getter {
        Getter::Usd(get)
    }
}

/// A boolean.
pub(super) struct Flag;

impl Kind for Flag {
    type Value = bool;

    fn accept(&self, value: Scalar<'_>) -> Option<bool> {
        if let Scalar::Bool(value) = value { Some(value) } else { None }
    }

    fn loosen<'a>(&self, value: Scalar<'a>) -> Scalar<'a> {
        as_flag(value)
    }

    fn must_be(&self) -> String {
        "must be true or false".to_owned()
    }

    fn shape(&self) -> Shape {
        Shape::flag()
    }

    fn report(&self, value: &bool) -> Json {
        (*value).into()
    }
}

impl Stored for Flag {
    fn getter(get: Get<bool>) -> Getter {
        Getter::Flag(get)
    }
}

/// The UUID that a caller chose as the id of an event.
pub(super) struct EventId;

impl Kind for EventId {
    type Value = Uuid;

    fn accept(&self, value: Scalar<'_>) -> Option<Uuid> {
        let Scalar::Text(text) = value else { return None };
        Uuid::try_parse(&text).is_ok().then(|| super::id_from_key("", &text))
    }

    /// An id that marks a row of another program names no event: it is another one in each database.
    fn loosen<'a>(&self, value: Scalar<'a>) -> Scalar<'a> {
        match &value {
            Scalar::Text(text) if text.is_empty() || is_foreign_id(text) => Scalar::Null,
            _ => value,
        }
    }

    fn must_be(&self) -> String {
        "must be a UUID, such as 8e03978e-40d5-43dd-bc93-6894a57f9324".to_owned()
    }

    fn shape(&self) -> Shape {
        Shape::in_format("uuid")
    }

    fn report(&self, value: &Uuid) -> Json {
        value.to_string().into()
    }
}

/// Whether a text is an id that the store assigned to a row of another program.
fn is_foreign_id(text: &str) -> bool {
    let id = Uuid::try_parse(text).unwrap_or_default();
    FOREIGN_ID_PREFIXES.iter().any(|prefix| id.as_bytes().starts_with(prefix))
}

/// Reads a number from a text, as drivers return decimals. An empty text is no number at all.
fn as_number(value: Scalar<'_>) -> Scalar<'_> {
    match &value {
        Scalar::Text(text) if text.is_empty() => Scalar::Null,
        Scalar::Text(text) => text.trim().parse().map_or(value, Scalar::Number),
        _ => value,
    }
}

/// Reads a boolean as Postgres (`t`) and SQLite (`1`) write it.
fn as_flag(value: Scalar<'_>) -> Scalar<'_> {
    let is_any = |text: &str, of: [&str; 3]| of.iter().any(|one| one.eq_ignore_ascii_case(text));
    match &value {
        Scalar::Text(text) if text.is_empty() => Scalar::Null,
        Scalar::Text(text) if is_any(text, ["t", "true", "1"]) => Scalar::Bool(true),
        Scalar::Text(text) if is_any(text, ["f", "false", "0"]) => Scalar::Bool(false),
        Scalar::Number(1.0) => Scalar::Bool(true),
        Scalar::Number(0.0) => Scalar::Bool(false),
        _ => value,
    }
}

fn must_be_a_number(max: f64) -> String {
    format!("must be a number from 0 to {max}")
}

fn number(value: &Scalar<'_>, max: f64) -> Option<f64> {
    match value {
        Scalar::Number(number) if (0.0..=max).contains(number) => Some(*number),
        _ => None,
    }
}

/// Rounds a non-negative number half up.
fn rounded(number: f64) -> i32 {
    #[expect(clippy::cast_possible_truncation, reason = "checked against its bound before")]
    let whole = number.round() as i32;
    whole
}

fn micros(usd: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "checked against its bound before")]
    let micros = (usd * 1_000_000.0).round() as i64;
    micros
}
