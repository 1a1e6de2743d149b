//! The columns of `ai_metrics` that are written from an event.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Event;

/// Returns a field of an event; `None` is stored as null.
pub type Get<T> = for<'e> fn(&'e Event) -> Option<&'e T>;

/// A column and the getter of its value.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// The name of the column.
    pub name: &'static str,
    /// The getter of its value.
    pub get: Getter,
}

/// The getter of a column's value; the variant determines the column's type.
#[derive(Debug, Clone, Copy)]
pub enum Getter {
    /// A UUID.
    Id(fn(&Event) -> Uuid),
    /// A string.
    Text(Get<String>),
    /// A non-negative integer.
    Int(Get<i32>),
    /// A rate from 0 to 1, stored as 1 if there is none; see [`super::success_e4`].
    SuccessRate(Get<f64>),
    /// A rating from 0 to 1, stored like a rate, but as null if there is none; see [`super::e4`].
    Rating(Get<f64>),
    /// An amount in millionths of a US dollar, stored in dollars.
    Usd(Get<i64>),
    /// A boolean.
    Flag(Get<bool>),
    /// A time.
    Time(fn(&Event) -> DateTime<Utc>),
}
