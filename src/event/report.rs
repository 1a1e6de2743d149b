//! Parses and validates the bodies of `POST /track` and `POST /track/batch`.

use std::mem::take;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::error::Category;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::fields::Fields;
use super::kind::{EventId, check};
use super::{Event, id_from_key};

/// The maximum length of an `Idempotency-Key`, in characters.
pub const MAX_KEY_CHARS: usize = 255;

/// Why a report is refused. It contains nothing that the caller sent, so it is safe to log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The body is empty, `{}`, `[]` or `null`.
    NoData,
    /// A required field is absent or `null`.
    Missing(&'static str),
    /// A field has the wrong type or is out of bounds.
    Invalid {
        /// The name of the field.
        field: &'static str,
        /// What its value must be.
        must_be: String,
    },
    /// The body is not JSON.
    NotJson {
        /// The line of the error, from 1.
        line: usize,
        /// The column of the error, from 1; 0 if the line before it ended unexpectedly.
        column: usize,
    },
    /// The body has this encoding instead of UTF-8.
    NotUtf8(&'static str),
    /// The body is JSON, but not an object.
    NotObject,
}

impl Refusal {
    /// Returns what is wrong, and what to do about it.
    #[must_use]
    pub fn told(&self) -> (String, String) {
        match self {
            Self::NoData => (
                "No metrics data provided".to_owned(),
                "Send a JSON object with the metrics of one event".to_owned(),
            ),
            Self::Missing(field) => {
                (format!("Missing required field: {field}"), format!("{field} must be present and not null"))
            }
            Self::Invalid { field, must_be } => {
                (format!("Invalid value for field: {field}"), format!("{field} {must_be}"))
            }
            Self::NotJson { line, column } => (
                "Invalid JSON".to_owned(),
                format!("The body is not valid JSON at line {line}, column {column}"),
            ),
            Self::NotUtf8(encoding) => {
                ("Invalid JSON".to_owned(), format!("The body is {encoding}; send UTF-8"))
            }
            Self::NotObject => {
                ("Metrics data must be a JSON object".to_owned(), "Send a JSON object".to_owned())
            }
        }
    }
}

/// A parsed report, not yet validated.
#[derive(Debug)]
pub struct Report<'a>(Box<Fields<'a>>);

/// The result of parsing one report of a batch.
type Item<'a> = Result<Report<'a>, Refusal>;

/// The body of a batch.
#[derive(Deserialize)]
struct Reports<'a> {
    #[serde(borrow, default)]
    events: Vec<&'a RawValue>,
}

/// Parses a body. Checking once that all of it is UTF-8 saves `serde_json` from checking each string.
fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> serde_json::Result<T> {
    match str::from_utf8(body) {
        Ok(text) => serde_json::from_str(text),
        Err(_) => serde_json::from_slice(body),
    }
}

fn not_json(error: &serde_json::Error) -> Refusal {
    Refusal::NotJson { line: error.line(), column: error.column() }
}

/// Parses a body that is one object.
pub(super) fn parse_object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    match body.trim_ascii() {
        b"" | b"null" => Err(Refusal::NoData),
        [b'{', inside @ .., b'}'] | [b'[', inside @ .., b']'] if inside.trim_ascii().is_empty() => {
            Err(Refusal::NoData)
        }
        [b'{', ..] => parse(body).map_err(|error| not_json(&error)),
        _ => Err(parse::<IgnoredAny>(body).map_or_else(|error| not_json(&error), |_| Refusal::NotObject)),
    }
}

impl<'a> Report<'a> {
    /// Parses the body of one report.
    pub fn parse(body: &'a [u8]) -> Result<Self, Refusal> {
        parse_object(body).map(Self)
    }

    /// Parses the body of a batch, `{"events": [...]}`.
    pub fn parse_batch(body: &'a [u8]) -> Result<Vec<Item<'a>>, Refusal> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(Refusal::NoData);
        }
        let reports: Reports<'_> =
            parse(body).map_err(|error: serde_json::Error| match error.classify() {
                Category::Data => Refusal::NotObject,
                _ => not_json(&error),
            })?;
        Ok(reports.events.into_iter().map(|report| Self::parse(report.get().as_bytes())).collect())
    }

    /// Parses the body of a batch in NDJSON, one report per line; empty lines are skipped.
    pub fn parse_lines(body: &'a [u8]) -> Vec<Item<'a>> {
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        lines.map(Report::parse).collect()
    }

    /// Validates every field and creates the event, received at `at`. `key`, the `Idempotency-Key` header, is used if
    /// the report has no `event_id`; without either, the id is a new version 7 UUID.
    pub fn into_event(self, key: Option<&str>, at: DateTime<Utc>) -> Result<Event, Refusal> {
        let mut fields = *self.0;
        fields.require()?;
        let event_id = take(&mut fields.event_id);
        let event = fields.into_event(at)?;
        let event_id = check(&EventId, "event_id", event_id)?;
        let chosen = event_id.or_else(|| Some(id_from_key(&event.business_id, key?)));
        Ok(Event { id: chosen.unwrap_or_else(Uuid::now_v7), named: chosen.is_some(), ..event })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(body: &str) -> Result<Event, Refusal> {
        Report::parse(body.as_bytes())?.into_event(None, DateTime::UNIX_EPOCH)
    }

    fn with(extra: &str) -> Result<Event, Refusal> {
        parse(&format!(r#"{{"business_id":"b","response_time_ms":1,"tokens_used":1,{extra}}}"#))
    }

    #[test]
    fn fractions_of_a_millisecond_round_half_up() {
        for (sent, stored) in [("0.4", 0), ("0.5", 1), ("2.5", 3), ("0.49999999999999994", 0), ("1e3", 1000)]
        {
            assert_eq!(with(&format!(r#""response_time_ms":{sent}"#)).unwrap().response_time_ms, stored);
        }
    }

    #[test]
    fn the_last_of_two_equal_keys_counts() {
        assert_eq!(with(r#""tokens_used":7"#).unwrap().tokens_used, 7);
    }

    #[test]
    fn costs_are_exact_to_a_millionth() {
        for (sent, stored) in [("0.002", 2_000), ("9999.999999", 9_999_999_999), ("0.1", 100_000)] {
            assert_eq!(with(&format!(r#""api_cost_usd":{sent}"#)).unwrap().cost_micros, stored);
        }
    }

    #[test]
    fn numbers_that_no_double_holds_are_json() {
        let huge = "9".repeat(400);
        for number in ["1e400", "-1E+400", "1.5e99999999999", huge.as_str()] {
            for field in ["response_time_ms", "tokens_used", "success_rate"] {
                let refusal = with(&format!(r#""{field}":{number}"#)).unwrap_err();
                assert!(
                    matches!(refusal, Refusal::Invalid { field: refused, .. } if refused == field),
                    "{refusal:?}"
                );
            }
            assert!(with(&format!(r#""new":{number},"newer":[{number},{{"a":{number}}}]"#)).is_ok());
            assert_eq!(parse(number).unwrap_err(), Refusal::NotObject);
            assert_eq!(parse(&format!("[{number}]")).unwrap_err(), Refusal::NotObject);
            for broken in [format!(r#"{{"tokens_used":{number}"#), format!(r#"{{"tokens_used":{number}x}}"#)]
            {
                assert!(matches!(parse(&broken), Err(Refusal::NotJson { line: 1, .. })), "{broken}");
            }
        }
    }

    #[test]
    fn invalid_utf8_is_refused_with_its_line() {
        let refused = Report::parse(b"{\"tokens_used\":1,\n\"business_id\":\"b\xff\"}").unwrap_err();
        assert!(matches!(refused, Refusal::NotJson { line: 2, .. }), "{refused:?}");
    }

    proptest! {
        /// Parsing never panics, whatever the bytes are.
        #[test]
        fn parsing_any_bytes_does_not_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(Report::parse(&body).map(|report| report.into_event(None, DateTime::UNIX_EPOCH)));
        }

        /// An accepted event is always within the bounds of its columns.
        #[test]
        fn accepted_numbers_are_in_bounds(ms in any::<f64>(), rate in any::<f64>(), cost in any::<f64>()) {
            let body = serde_json::json!({"business_id": "b", "response_time_ms": ms, "tokens_used": 1,
                "success_rate": rate, "api_cost_usd": cost});
            if let Ok(event) = parse(&body.to_string()) {
                prop_assert!(event.response_time_ms >= 0);
                prop_assert!((0..=10_000).contains(&event.success_e4()));
                prop_assert!((0..=9_999_999_999).contains(&event.cost_micros));
            }
        }
    }
}
