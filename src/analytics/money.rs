//! Amounts of money.

use std::ops::{Add, Sub};

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// Billionths in a unit.
const NANOS: f64 = 1e9;

/// An amount in billionths of a US dollar. In JSON it is a number of dollars with at most nine decimal places.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = f64)]
pub struct Usd(i64);

impl Usd {
    /// Creates an amount from billionths of a dollar.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Creates an amount from millionths of a dollar.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros.saturating_mul(1_000))
    }

    /// Creates an amount from dollars, rounded to a billionth.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a cast saturates, and amounts of money are far below that"
    )]
    pub fn from_dollars(dollars: f64) -> Self {
        Self((dollars * NANOS).round() as i64)
    }

    /// Returns the amount in dollars.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "only beyond nine million dollars, by less than a billionth of them"
    )]
    pub fn dollars(self) -> f64 {
        self.0 as f64 / NANOS
    }

    /// Returns the amount for each of `count`; `None` if that is 0.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
    pub fn per(self, count: i64) -> Option<Self> {
        (count != 0).then(|| self.scaled(1.0 / count as f64))
    }

    /// Returns the amount times `factor`, rounded to a billionth.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "a cast saturates, and amounts of money are far below that"
    )]
    pub fn scaled(self, factor: f64) -> Self {
        Self((self.0 as f64 * factor).round() as i64)
    }
}

impl Add for Usd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Usd {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.dollars())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_no_float_dust() {
        let shown = |amount: Usd| serde_json::to_string(&amount).unwrap();
        assert_eq!(shown(Usd::from_micros(100) + Usd::from_micros(200)), "0.0003");
        assert_eq!(shown(Usd::from_micros(1_000_000) - Usd::from_micros(900_000)), "0.1");
        assert_eq!(shown(Usd::from_nanos(20_000_001)), "0.020000001");
        assert_eq!(Usd::from_micros(20_000).per(3).map(shown).as_deref(), Some("0.006666667"));
        assert_eq!(Usd::from_micros(20_000).per(0), None);
        assert_eq!(shown(Usd::from_micros(-1_500_000)), "-1.5");
    }
}
