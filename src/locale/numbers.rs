//! Numbers.

use fixed_decimal::{Decimal, FloatPrecision, SignedRoundingMode, UnsignedRoundingMode};
use icu_decimal::options::DecimalFormatterOptions;
use icu_decimal::preferences::NumberingSystem;
use icu_decimal::{DecimalFormatter, DecimalFormatterPreferences};
use icu_locale_core::{LanguageIdentifier, extensions::unicode::value};

use super::without_direction;

/// Formats numbers.
pub(super) struct Numbers(DecimalFormatter);

impl Numbers {
    pub(super) fn of(tag: &LanguageIdentifier) -> Self {
        let mut preferences = DecimalFormatterPreferences::from(tag);
        preferences.numbering_system = NumberingSystem::try_from(value!("latn")).ok();
        let formatter = DecimalFormatter::try_new(preferences, DecimalFormatterOptions::default());
        Self(formatter.expect("the data of every locale is compiled in, and others have those of the root"))
    }

    pub(super) fn integer(&self, value: i64) -> String {
        self.show(&Decimal::from(value))
    }

    /// Returns a number with at least `least` and at most `most` decimal places; `None` for what is no number.
    pub(super) fn decimal(&self, value: f64, least: u8, most: u8) -> Option<String> {
        let mut decimal = Decimal::try_from_f64(value, FloatPrecision::RoundTrip).ok()?;
        let mode = SignedRoundingMode::Unsigned(UnsignedRoundingMode::HalfEven);
        decimal.round_with_mode(-i16::from(most), mode);
        decimal.trim_end();
        decimal.pad_end(-i16::from(least));
        Some(self.show(&decimal))
    }

    fn show(&self, decimal: &Decimal) -> String {
        without_direction(&self.0.format(decimal).to_string())
    }
}
