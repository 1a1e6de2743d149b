//! Changes of profiles: what callers ask for, and what is wrong with it.

use chrono_tz::{TZ_VARIANTS, Tz};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use strum::VariantArray;

use super::hours::OpeningHours;
use super::profile::OwnProfile;
use crate::shape::Shape;

/// The maximum length of a name, in characters.
const MAX_NAME_CHARS: usize = 255;

/// The maximum budget of a month, in US dollars.
const MAX_BUDGET_USD: f64 = 9_999_999.99;

/// A value of a profile that can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray)]
pub enum ProfileField {
    /// The name.
    Name,
    /// The time zone.
    TimeZone,
    /// The opening hours.
    OpeningHours,
    /// The budget.
    MonthlyBudget,
}

impl ProfileField {
    /// Returns its name in requests and responses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::TimeZone => "time_zone",
            Self::OpeningHours => "opening_hours",
            Self::MonthlyBudget => "monthly_budget_usd",
        }
    }
}

/// What becomes of a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// It stays.
    #[default]
    Keep,
    /// It is not set any more.
    Clear,
    /// It is replaced.
    Set(T),
}

impl<T> Change<T> {
    fn apply(self, value: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *value = None,
            Self::Set(new) => *value = Some(new),
        }
    }

    fn map<U>(self, convert: impl FnOnce(T) -> U) -> Change<U> {
        match self {
            Self::Keep => Change::Keep,
            Self::Clear => Change::Clear,
            Self::Set(value) => Change::Set(convert(value)),
        }
    }
}

/// Why a change is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} {must_be}", .field.name())]
pub struct InvalidProfile {
    /// The value at fault.
    pub field: ProfileField,
    /// What it must be; goes on from the name of the field.
    pub must_be: String,
}

/// A valid change of a profile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProfileChange {
    name: Change<String>,
    time_zone: Change<Tz>,
    opening_hours: Change<OpeningHours>,
    monthly_budget_micros: Change<i64>,
}

impl ProfileChange {
    /// Clears a value.
    pub fn clear(&mut self, field: ProfileField) {
        match field {
            ProfileField::Name => self.name = Change::Clear,
            ProfileField::TimeZone => self.time_zone = Change::Clear,
            ProfileField::OpeningHours => self.opening_hours = Change::Clear,
            ProfileField::MonthlyBudget => self.monthly_budget_micros = Change::Clear,
        }
    }

    /// Sets the name: 1 to 255 characters, none of them a control character, and not only spaces.
    pub fn set_name(&mut self, name: &str) -> Result<(), InvalidProfile> {
        if !is_name(name) {
            let must_be = "must be 1 to 255 characters, without control characters, and not only spaces";
            return Err(invalid(ProfileField::Name, must_be));
        }
        self.name = Change::Set(name.to_owned());
        Ok(())
    }

    /// Sets the time zone, by its IANA name.
    pub fn set_time_zone(&mut self, name: &str) -> Result<(), InvalidProfile> {
        let must_be = "must be an IANA time zone name such as Europe/Berlin, in this spelling";
        let zone = name.parse().map_err(|_| invalid(ProfileField::TimeZone, must_be))?;
        self.time_zone = Change::Set(zone);
        Ok(())
    }

    /// Sets the opening hours; see [`OpeningHours::parse`].
    pub fn set_opening_hours(&mut self, json: &str) -> Result<(), InvalidProfile> {
        let hours = OpeningHours::parse(json);
        let hours = hours.map_err(|error| invalid(ProfileField::OpeningHours, &error.to_string()))?;
        self.opening_hours = Change::Set(hours);
        Ok(())
    }

    /// Sets the budget of a month, in US dollars from 0 to 9,999,999.99; smaller parts than a millionth are rounded.
    pub fn set_monthly_budget(&mut self, usd: f64) -> Result<(), InvalidProfile> {
        if !(0.0..=MAX_BUDGET_USD).contains(&usd) {
            return Err(no_budget());
        }
        #[expect(clippy::cast_possible_truncation, reason = "checked against its bound before")]
        let micros = (usd * 1e6).round() as i64;
        self.monthly_budget_micros = Change::Set(micros);
        Ok(())
    }

    /// Returns `own` with the change, and the fields whose values that changes.
    #[must_use]
    pub fn apply(self, own: &OwnProfile) -> (OwnProfile, Vec<ProfileField>) {
        let mut new = own.clone();
        self.name.apply(&mut new.name);
        self.time_zone.map(|zone| zone.name().to_owned()).apply(&mut new.time_zone);
        let json = |hours| serde_json::to_string(&hours).expect("names and times are JSON");
        self.opening_hours.map(json).apply(&mut new.opening_hours);
        self.monthly_budget_micros.apply(&mut new.monthly_budget_micros);
        let differs = |field: &ProfileField| match field {
            ProfileField::Name => new.name != own.name,
            ProfileField::TimeZone => new.time_zone != own.time_zone,
            ProfileField::OpeningHours => new.opening_hours != own.opening_hours,
            ProfileField::MonthlyBudget => new.monthly_budget_micros != own.monthly_budget_micros,
        };
        let changed = ProfileField::VARIANTS.iter().copied().filter(differs).collect();
        (new, changed)
    }
}

/// Returns whether a text can be the name of a business.
#[must_use]
pub(super) fn is_name(text: &str) -> bool {
    (1..=MAX_NAME_CHARS).contains(&text.chars().count())
        && !text.contains(char::is_control)
        && !text.trim().is_empty()
}

fn invalid(field: ProfileField, must_be: &str) -> InvalidProfile {
    InvalidProfile { field, must_be: must_be.to_owned() }
}

fn no_budget() -> InvalidProfile {
    invalid(ProfileField::MonthlyBudget, "must be a number from 0 to 9999999.99, or null")
}

/// A change as a caller sends it, not yet validated.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileRequest {
    #[serde(default, deserialize_with = "present")]
    name: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "present")]
    time_zone: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "present")]
    opening_hours: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "present")]
    monthly_budget_usd: Option<Box<RawValue>>,
}

/// Reads a value that is there, null included, unlike one that is absent.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

impl ProfileRequest {
    /// Returns the schema of the request.
    #[must_use]
    pub fn shape() -> Shape {
        let zones = Shape::one_of(TZ_VARIANTS.iter().map(|zone| zone.name())).or_null();
        let budget = Shape::number(0.0..=MAX_BUDGET_USD).or_null();
        let name = Shape::visible_text(1..=MAX_NAME_CHARS).or_null();
        Shape::object()
            .optional("name", name.about("The name, not only of spaces"))
            .optional(
                "time_zone",
                zones.about("The time zone, an IANA name. Only later events get their day by it"),
            )
            .optional("opening_hours", OpeningHours::shape().or_null())
            .optional("monthly_budget_usd", budget.about("The budget of a calendar month, in US dollars"))
    }

    /// Validates the change. What is absent stays; null clears.
    ///
    /// # Errors
    ///
    /// Fails with the first field that is invalid.
    pub fn into_change(self) -> Result<ProfileChange, InvalidProfile> {
        let mut change = ProfileChange::default();
        for field in ProfileField::VARIANTS.iter().copied() {
            let value = match field {
                ProfileField::Name => &self.name,
                ProfileField::TimeZone => &self.time_zone,
                ProfileField::OpeningHours => &self.opening_hours,
                ProfileField::MonthlyBudget => &self.monthly_budget_usd,
            };
            match value.as_deref().map(RawValue::get) {
                None => {}
                Some("null") => change.clear(field),
                Some(json) => change.set(field, json)?,
            }
        }
        Ok(change)
    }
}

impl ProfileChange {
    /// Sets a value that is written as JSON.
    fn set(&mut self, field: ProfileField, json: &str) -> Result<(), InvalidProfile> {
        let text = || serde_json::from_str::<String>(json).unwrap_or_default();
        match field {
            // A value of another type is refused as an empty text is.
            ProfileField::Name => self.set_name(&text()),
            ProfileField::TimeZone => self.set_time_zone(&text()),
            ProfileField::OpeningHours => self.set_opening_hours(json),
            ProfileField::MonthlyBudget => {
                let usd = serde_json::from_str(json).map_err(|_| no_budget())?;
                self.set_monthly_budget(usd)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(json: &str) -> Result<ProfileChange, InvalidProfile> {
        serde_json::from_str::<ProfileRequest>(json).unwrap().into_change()
    }

    #[track_caller]
    fn assert_refused(json: &str, told: &str) {
        assert_eq!(request(json).unwrap_err().to_string(), told);
    }

    #[test]
    fn only_what_is_named_changes() {
        let set = r#"{"name":"Smile Dental","time_zone":"Europe/Berlin","opening_hours":{"monday":{"open":"09:00","close":"17:00"}},"monthly_budget_usd":50.0}"#;
        let (own, changed) = request(set).unwrap().apply(&OwnProfile::default());
        assert_eq!(changed, ProfileField::VARIANTS);
        assert_eq!(own.opening_hours.as_deref(), Some(r#"{"monday":{"open":"09:00","close":"17:00"}}"#));
        assert_eq!(
            (own.time_zone.as_deref(), own.monthly_budget_micros),
            (Some("Europe/Berlin"), Some(50_000_000))
        );
        assert_eq!(request(set).unwrap().apply(&own), (own.clone(), vec![]), "again, it changes nothing");
        assert_eq!(request("{}").unwrap().apply(&own), (own.clone(), vec![]));
        let (cleared, changed) = request(r#"{"name":null,"monthly_budget_usd":0}"#).unwrap().apply(&own);
        assert_eq!(changed, [ProfileField::Name, ProfileField::MonthlyBudget]);
        assert_eq!(cleared, OwnProfile { name: None, monthly_budget_micros: Some(0), ..own });
    }

    #[test]
    fn a_refusal_names_the_field_and_says_what_is_right() {
        let name = "name must be 1 to 255 characters, without control characters, and not only spaces";
        for wrong in [r#""""#, r#"" ""#, r#""a\u0000b""#, "7", "true", &format!("{:?}", "ä".repeat(256))] {
            assert_refused(&format!(r#"{{"name":{wrong}}}"#), name);
        }
        assert!(request(&format!(r#"{{"name":"{}"}}"#, "ä".repeat(255))).is_ok());
        let zone = "time_zone must be an IANA time zone name such as Europe/Berlin, in this spelling";
        for wrong in [r#""Mars/Olympus""#, r#""europe/berlin""#, r#""+01:00""#, r#""""#, "1"] {
            assert_refused(&format!(r#"{{"time_zone":{wrong}}}"#), zone);
        }
        let budget = "monthly_budget_usd must be a number from 0 to 9999999.99, or null";
        for wrong in ["-0.01", "10000000", "9999999.991", r#""50""#, "[1]", "true"] {
            assert_refused(&format!(r#"{{"monthly_budget_usd":{wrong}}}"#), budget);
        }
        let change = request(r#"{"monthly_budget_usd":9999999.99}"#).unwrap();
        assert_eq!(change.monthly_budget_micros, Change::Set(9_999_999_990_000));
        let hours = "opening_hours must be a JSON object such as {\"monday\":{\"open\":\"09:00\",\"close\":\"17:00\"}}; days left out are closed";
        assert_refused(r#"{"opening_hours":"9 to 5"}"#, hours);
    }
}
