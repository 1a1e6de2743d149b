//! The columns of `ai_metrics` that an event fills.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Event;

/// Reads a field of an event; `None` is null.
pub type Get<T> = for<'e> fn(&'e Event) -> Option<&'e T>;

/// A column, and where its value comes from.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Reads its value.
    pub get: Getter,
}

/// Reads the value of a column; the variant determines the column's type.
#[derive(Debug, Clone, Copy)]
pub enum Getter {
    /// A UUID.
    Id(fn(&Event) -> Uuid),
    /// A string.
    Text(Get<String>),
    /// A whole number, never negative.
    Int(Get<i32>),
    /// A rate from 0 to 1, stored as 1 if there is none; see [`super::success_e4`].
    SuccessRate(Get<f64>),
    /// An amount in millionths of a US dollar, stored in dollars.
    Usd(Get<i64>),
    /// True or false.
    Flag(Get<bool>),
    /// A time.
    Time(fn(&Event) -> DateTime<Utc>),
}
