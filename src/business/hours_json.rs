//! Opening hours as JSON: `{"monday":{"open":"09:00","close":"17:00"}}`.

use std::fmt;
use std::mem;

use chrono::Weekday;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::hours::{DayHours, OpeningHours};
use super::hours_error::HoursError;
use crate::field_name::is_like_a_field;
use crate::shape::Shape;

/// The names of the days, Monday first.
pub(super) const DAYS: [(Weekday, &str); 7] = [
    (Weekday::Mon, "monday"),
    (Weekday::Tue, "tuesday"),
    (Weekday::Wed, "wednesday"),
    (Weekday::Thu, "thursday"),
    (Weekday::Fri, "friday"),
    (Weekday::Sat, "saturday"),
    (Weekday::Sun, "sunday"),
];

pub(super) const OPEN: &str = "open";
pub(super) const CLOSE: &str = "close";

/// The minutes of a day.
const DAY: u16 = 24 * 60;

fn shown(name: String) -> Option<String> {
    Some(name).filter(|name| is_like_a_field(name))
}

/// The members of a JSON object as they are written, repeated ones included: who writes a day twice means both.
pub(super) struct Members(pub(super) Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

impl Members {
    pub(super) fn parse(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }
}

impl OpeningHours {
    /// Returns the schema of their form in requests and responses.
    #[must_use]
    pub fn shape() -> Shape {
        let time = |pattern| Shape::matching(pattern).such_as("09:00");
        let open = time("^([01][0-9]|2[0-3]):[0-5][0-9]$").about("When it opens");
        let close = time("^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$");
        let close =
            close.about("When it closes: not when it opens, and on the next day if it is not after that");
        let day = Shape::object().required(OPEN, open).required(CLOSE, close).or_null();
        let about = "When it is open, by the clock on its wall; on days that are left out or null it is closed. Hours that pass midnight must \
                     not reach into those of the next day";
        let week = DAYS.iter().fold(Shape::object(), |week, (_, name)| week.optional(name, day.clone()));
        week.about(about)
    }

    /// Parses what a caller sets. Days that are left out or null are closed.
    ///
    /// # Errors
    ///
    /// Fails on unknown and repeated days and fields, on times that are not HH:MM, and on hours that overlap.
    pub fn parse(json: &str) -> Result<Self, HoursError> {
        let (mut days, mut seen) = ([None; 7], [false; 7]);
        for (name, value) in Members::parse(json).ok_or(HoursError::NoObject)?.0 {
            let index = DAYS.iter().position(|(_, day)| *day == name);
            let index = index.ok_or_else(|| HoursError::UnknownDay(shown(name)))?;
            let (_, day) = DAYS[index];
            if mem::replace(&mut seen[index], true) {
                return Err(HoursError::RepeatedDay(day));
            }
            days[index] = set_day(day, value.get())?;
        }
        Self::without_overlap(days)
    }

    pub(super) fn without_overlap(days: [Option<DayHours>; 7]) -> Result<Self, HoursError> {
        for (index, (_, day)) in DAYS.iter().enumerate() {
            let next = (index + 1) % DAYS.len();
            if let (Some(hours), Some(after)) = (days[index], days[next])
                && hours.pass_midnight()
                && after.open < hours.close
            {
                return Err(HoursError::Overlap(day, DAYS[next].1));
            }
        }
        Ok(Self::new(days))
    }
}

fn set_day(day: &'static str, json: &str) -> Result<Option<DayHours>, HoursError> {
    if json == "null" {
        return Ok(None);
    }
    let (mut open, mut close) = (None, None);
    for (name, value) in Members::parse(json).ok_or(HoursError::NoDay(day))?.0 {
        let (place, field) = match name.as_str() {
            OPEN => (&mut open, OPEN),
            CLOSE => (&mut close, CLOSE),
            _ => return Err(HoursError::UnknownField { day, name: shown(name) }),
        };
        if place.replace(read_time(day, field, value.get())?).is_some() {
            return Err(HoursError::RepeatedField(day, field));
        }
    }
    let open = open.ok_or(HoursError::MissingField(day, OPEN))?;
    let close = close.ok_or(HoursError::MissingField(day, CLOSE))?;
    interval(day, open, close).map(Some)
}

pub(super) const fn interval(day: &'static str, open: u16, close: u16) -> Result<DayHours, HoursError> {
    if open == close { Err(HoursError::NoInterval(day)) } else { Ok(DayHours { open, close }) }
}

/// Parses a JSON string of the form HH:MM, in minutes since midnight. Closing may be at 24:00.
pub(super) fn read_time(day: &'static str, field: &'static str, json: &str) -> Result<u16, HoursError> {
    let minutes = || {
        let text: String = serde_json::from_str(json).ok()?;
        let (hours, minutes) = text.split_once(':')?;
        let number = |text: &str, max| {
            let is_plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u16>().ok().filter(|number| is_plain && *number <= max)
        };
        Some(number(hours, 24)? * 60 + number(minutes, 59)?)
    };
    let max = if field == CLOSE { DAY } else { DAY - 1 };
    minutes().filter(|minutes| *minutes <= max).ok_or(HoursError::NoTime { day, field })
}

impl PartialSchema for OpeningHours {
    fn schema() -> RefOr<Schema> {
        serde_json::from_value(Self::shape().into()).expect("the library reads schemas of objects")
    }
}

impl ToSchema for OpeningHours {}

/// The form that [`OpeningHours::parse`] takes: days in the order of the week, without the closed ones.
impl Serialize for OpeningHours {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (day, name) in DAYS {
            if let Some(hours) = self.of(day) {
                map.serialize_entry(name, &hours)?;
            }
        }
        map.end()
    }
}

impl Serialize for DayHours {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry(OPEN, &text(self.open))?;
        map.serialize_entry(CLOSE, &text(self.close))?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_refused(json: &str, told: &str) {
        let error = OpeningHours::parse(json).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }

    #[track_caller]
    fn assert_kept(json: &str) {
        assert_eq!(serde_json::to_string(&OpeningHours::parse(json).unwrap()).unwrap(), json);
    }

    #[test]
    fn hours_have_the_form_that_they_were_set_in() {
        assert_kept(r#"{"monday":{"open":"09:00","close":"17:00"}}"#);
        assert_kept(
            r#"{"monday":{"open":"00:00","close":"24:00"},"sunday":{"open":"22:00","close":"00:00"}}"#,
        );
        assert_kept("{}");
        let week = r#"{"sunday":null,"friday":{"close":"02:00","open":"18:30"},"tuesday":{"open":"07:05","close":"12:59"}}"#;
        let kept =
            r#"{"tuesday":{"open":"07:05","close":"12:59"},"friday":{"open":"18:30","close":"02:00"}}"#;
        assert_eq!(serde_json::to_string(&OpeningHours::parse(week).unwrap()).unwrap(), kept);
    }

    #[test]
    fn a_refusal_says_what_is_wrong_and_what_is_right() {
        for json in ["[]", "7", "\"monday\"", "null", "", "{\"monday\":", "[[\"monday\",null]]"] {
            assert_refused(json, "must be a JSON object such as {\"monday\":{\"open\":\"09:00\"");
        }
        let day = r#"{"open":"09:00","close":"17:00"}"#;
        assert_refused(&format!(r#"{{"montag":{day}}}"#), "an unknown day, montag; days are monday, tuesday");
        assert_refused(&format!(r#"{{"Monday":{day}}}"#), "an unknown day, Monday; days are monday");
        assert_refused(&format!(r#"{{"ana@example.com":{day}}}"#), "an unknown day; days are monday");
        assert_refused(&format!(r#"{{"monday":{day},"monday":{day}}}"#), "has monday twice");
        assert_refused(r#"{"monday":null,"monday":null}"#, "has monday twice");
        assert_refused(&format!(r#"{{"monday":[{day}]}}"#), "for monday an object with open and close");
        assert_refused(r#"{"monday":"09:00-17:00"}"#, "for monday an object with open and close");
        let extra = r#"{"friday":{"open":"09:00","close":"17:00","lunch":"12:00"}}"#;
        assert_refused(extra, "unknown field in friday, lunch; a day has open and close");
        assert_refused(r#"{"friday":{"open":"09:00","open":"10:00"}}"#, "has open twice in friday");
        assert_refused(r#"{"friday":{"close":"10:00"}}"#, "lacks open in friday");
        assert_refused(r#"{"friday":{"open":"10:00"}}"#, "lacks close in friday");
        assert_refused(r#"{"friday":{"open":"09:00","close":"09:00"}}"#, "all day is 00:00 to 24:00");
    }

    #[test]
    fn times_have_two_digits_for_the_hour_and_two_for_the_minute() {
        for time in [
            "\"9:00\"",
            "\"09:60\"",
            "\"25:00\"",
            "\"24:01\"",
            "\"0900\"",
            "\"+9:00\"",
            "\"09:00 \"",
            "9",
            "null",
        ] {
            let close = format!(r#"{{"sunday":{{"open":"08:00","close":{time}}}}}"#);
            assert_refused(
                &close,
                "as close in sunday a time of 24 hours such as \"09:00\", from 00:00 to 24:00",
            );
        }
        let open = r#"{"sunday":{"open":"24:00","close":"10:00"}}"#;
        assert_refused(open, "as open in sunday a time of 24 hours such as \"09:00\", from 00:00 to 23:59");
    }

    #[test]
    fn hours_past_midnight_must_end_before_those_of_the_next_day_begin() {
        let week = |day: &str, next: &str, open: &str| {
            format!(
                r#"{{"{day}":{{"open":"20:00","close":"02:00"}},"{next}":{{"open":"{open}","close":"19:00"}}}}"#
            )
        };
        for (index, (_, day)) in DAYS.iter().enumerate() {
            let next = DAYS[(index + 1) % 7].1;
            assert_refused(
                &week(day, next, "01:59"),
                &format!("the hours of {day} reach into those of {next}"),
            );
            OpeningHours::parse(&week(day, next, "02:00")).unwrap();
        }
        let all_week =
            DAYS.map(|(_, day)| format!(r#""{day}":{{"open":"00:00","close":"24:00"}}"#)).join(",");
        OpeningHours::parse(&format!("{{{all_week}}}")).unwrap();
    }
}
