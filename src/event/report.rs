//! Parses and checks the body of `POST /track`. To add a field: one line in `Fields`, one in [`Report::into_event`].

use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use super::scalar::Scalar;
use super::{Event, id_from_key};

/// The longest `Idempotency-Key`, in characters.
pub const MAX_KEY_CHARS: usize = 255;
const MAX_WHOLE: f64 = 2_147_483_647.0;
const MAX_COST_USD: f64 = 9_999.999_999;

/// Why a report is refused. Nothing of what the caller wrote is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No body, or an empty `{}`, `[]` or `null`.
    NoData,
    /// A required field is absent or `null`.
    Missing(&'static str),
    /// A field has the wrong type or is out of bounds.
    Invalid {
        /// The field's name.
        field: &'static str,
        /// What it must be.
        must_be: String,
    },
    /// The body is not JSON.
    NotJson {
        /// From 1.
        line: usize,
        /// From 1; 0 where a line ended too soon.
        column: usize,
    },
    /// The body is JSON, but no object.
    NotObject,
}

fn invalid(field: &'static str, must_be: impl Into<String>) -> Refusal {
    Refusal::Invalid { field, must_be: must_be.into() }
}

/// A parsed, unchecked report.
#[derive(Debug)]
pub struct Report<'a>(Box<Fields<'a>>);

/// What one item of a batch is.
type Item<'a> = Result<Report<'a>, Refusal>;

/// The body of a batch.
#[derive(Deserialize)]
struct Reports<'a> {
    #[serde(borrow, default)]
    events: Vec<Root<'a>>,
}

/// The body of a batch with a number in it that no `f64` can hold: see [`read_unbounded`].
#[derive(Deserialize)]
struct RawReports<'a> {
    #[serde(borrow, default)]
    events: Vec<&'a RawValue>,
}

impl<'a> Report<'a> {
    /// Parses the body of one report.
    pub fn parse(body: &'a [u8]) -> Result<Self, Refusal> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(Refusal::NoData);
        }
        let root = parse::<Root<'_>>(body)
            .or_else(|error| read_unbounded(body).ok_or(error))
            .map_err(|error| Refusal::NotJson { line: error.line(), column: error.column() })?;
        root.into_report()
    }

    /// Parses the body of a batch, `{"events": [...]}`.
    pub fn parse_batch(body: &'a [u8]) -> Result<Vec<Item<'a>>, Refusal> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(Refusal::NoData);
        }
        match parse::<Reports<'_>>(body) {
            Ok(reports) => Ok(reports.events.into_iter().map(Root::into_report).collect()),
            Err(error) if error.classify() == Category::Data => Err(Refusal::NotObject),
            Err(error) => {
                let (line, column) = (error.line(), error.column());
                let reports: RawReports<'_> =
                    parse(body).map_err(|_: serde_json::Error| Refusal::NotJson { line, column })?;
                Ok(reports.events.into_iter().map(|report| Self::parse(report.get().as_bytes())).collect())
            }
        }
    }

    /// Parses the body of a batch that has a report on each line; empty lines are passed over.
    pub fn parse_lines(body: &'a [u8]) -> Vec<Item<'a>> {
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        lines.map(Report::parse).collect()
    }

    /// Checks every field and makes the event, received at `at`. `key` is the `Idempotency-Key` header, which
    /// stands in for an absent `event_id`.
    pub fn into_event(self, key: Option<&str>, at: DateTime<Utc>) -> Result<Event, Refusal> {
        let f = *self.0;
        f.require()?;
        let business_id = text("business_id", f.business_id, 1..=255)?.unwrap_or_default();
        let response_time_ms = number("response_time_ms", &f.response_time_ms, MAX_WHOLE)?;
        let tokens_used = whole("tokens_used", &f.tokens_used)?.unwrap_or(0);
        let conversation_id = text("conversation_id", f.conversation_id, 0..=255)?;
        let session_id = text("session_id", f.session_id, 0..=255)?;
        let success_rate = number("success_rate", &f.success_rate, 1.0)?;
        let prompt_tokens = whole("prompt_tokens", &f.prompt_tokens)?;
        let completion_tokens = whole("completion_tokens", &f.completion_tokens)?;
        let api_cost_usd = number("api_cost_usd", &f.api_cost_usd, MAX_COST_USD)?;
        let model_name = text("model_name", f.model_name, 0..=100)?;
        let intent_detected = text("intent_detected", f.intent_detected, 0..=50)?;
        let response_type = text("response_type", f.response_type, 0..=50)?;
        let appointment_requested = boolean("appointment_requested", &f.appointment_requested)?;
        let appointment_booked = boolean("appointment_booked", &f.appointment_booked)?;
        let human_handoff_requested = boolean("human_handoff_requested", &f.human_handoff_requested)?;
        let user_message_length = whole("user_message_length", &f.user_message_length)?.unwrap_or(0);
        let ai_response_length = whole("ai_response_length", &f.ai_response_length)?.unwrap_or(0);
        let event_id = event_id(&f.event_id)?;
        let key = key.map(|key| id_from_key(&business_id, key));
        let named = event_id.or(key);
        Ok(Event {
            id: named.unwrap_or_else(Uuid::now_v7),
            named: named.is_some(),
            at,
            business_id,
            conversation_id,
            session_id: or_unknown(session_id),
            response_time_ms: rounded(response_time_ms.unwrap_or(0.0)),
            success_rate,
            tokens_used,
            prompt_tokens,
            completion_tokens,
            cost_micros: micros(api_cost_usd.unwrap_or(0.0)),
            model_name: model_name.unwrap_or_else(|| "gemini-1.5-flash".to_owned()),
            intent_detected: or_unknown(intent_detected),
            response_type: or_unknown(response_type),
            appointment_requested,
            appointment_booked,
            human_handoff_requested,
            user_message_length,
            ai_response_length,
        })
    }
}

impl Event {
    /// The report that makes this event again.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "no cost reaches 2^53 millionths")]
    pub fn report(&self) -> Value {
        json!({
            "business_id": self.business_id,
            "response_time_ms": self.response_time_ms,
            "tokens_used": self.tokens_used,
            "conversation_id": self.conversation_id,
            "session_id": self.session_id,
            "success_rate": self.success_rate,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "api_cost_usd": self.cost_micros as f64 / 1e6,
            "model_name": self.model_name,
            "intent_detected": self.intent_detected,
            "response_type": self.response_type,
            "appointment_requested": self.appointment_requested,
            "appointment_booked": self.appointment_booked,
            "human_handoff_requested": self.human_handoff_requested,
            "user_message_length": self.user_message_length,
            "ai_response_length": self.ai_response_length,
            "event_id": self.id.to_string(),
        })
    }
}

/// The top of a body.
enum Root<'a> {
    Object(Box<Fields<'a>>),
    /// `null`, `{}` or `[]`.
    Empty,
    Other,
}

impl<'a> Root<'a> {
    fn into_report(self) -> Item<'a> {
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

/// Parses a body, as text where it is UTF-8: of bytes, each string would be checked by itself.
fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> serde_json::Result<T> {
    match str::from_utf8(body) {
        Ok(text) => serde_json::from_str(text),
        Err(_) => serde_json::from_slice(body),
    }
}

/// Reads a body again that was refused: `serde_json` refuses every number that no `f64` can hold, such as `1e400`, which
/// is JSON all the same. `None` if it is none. It takes longer, and it is rare.
fn read_unbounded(body: &[u8]) -> Option<Root<'_>> {
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
        // What is too large for an `f64` becomes infinity, which is beyond every bound.
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

/// Declares the fields of a report, required ones first. A key that comes twice counts as its last value.
macro_rules! fields {
    (required: $($required:ident),+; optional: $($optional:ident),+;) => {
        #[derive(Debug, Default)]
        struct Fields<'a> { $($required: Scalar<'a>,)+ $($optional: Scalar<'a>,)+ }

        impl<'a> Fields<'a> {
            fn slot(&mut self, name: &str) -> Option<&mut Scalar<'a>> {
                match name {
                    $(stringify!($required) => Some(&mut self.$required),)+
                    $(stringify!($optional) => Some(&mut self.$optional),)+
                    _ => None,
                }
            }

            /// Names the first required field that is absent.
            fn require(&self) -> Result<(), Refusal> {
                $(if self.$required == Scalar::Null {
                    return Err(Refusal::Missing(stringify!($required)));
                })+
                Ok(())
            }
        }
    };
}

fields! {
    required: business_id, response_time_ms, tokens_used;
    optional: conversation_id, session_id, success_rate, prompt_tokens, completion_tokens, api_cost_usd,
        model_name, intent_detected, response_type, appointment_requested, appointment_booked,
        human_handoff_requested, user_message_length, ai_response_length, event_id;
}

fn text(
    field: &'static str,
    value: Scalar<'_>,
    chars: RangeInclusive<usize>,
) -> Result<Option<String>, Refusal> {
    match value {
        Scalar::Null => Ok(None),
        Scalar::Text(text) if chars.contains(&text.chars().count()) && !text.contains(char::is_control) => {
            Ok(Some(text.into_owned()))
        }
        _ => {
            let (min, max) = chars.into_inner();
            let rule =
                format!("must be a string of {min} to {max} characters, none of them a control character");
            Err(invalid(field, rule))
        }
    }
}

fn number(field: &'static str, value: &Scalar<'_>, max: f64) -> Result<Option<f64>, Refusal> {
    match value {
        Scalar::Null => Ok(None),
        Scalar::Number(number) if (0.0..=max).contains(number) => Ok(Some(*number)),
        _ => Err(invalid(field, format!("must be a number from 0 to {max}"))),
    }
}

fn whole(field: &'static str, value: &Scalar<'_>) -> Result<Option<i32>, Refusal> {
    match value {
        Scalar::Null => Ok(None),
        Scalar::Number(number) if (0.0..=MAX_WHOLE).contains(number) && number.fract() == 0.0 => {
            Ok(Some(rounded(*number)))
        }
        _ => Err(invalid(field, format!("must be a whole number from 0 to {MAX_WHOLE}"))),
    }
}

fn boolean(field: &'static str, value: &Scalar<'_>) -> Result<bool, Refusal> {
    match value {
        Scalar::Null => Ok(false),
        Scalar::Bool(value) => Ok(*value),
        _ => Err(invalid(field, "must be true or false")),
    }
}

fn event_id(value: &Scalar<'_>) -> Result<Option<Uuid>, Refusal> {
    match value {
        Scalar::Null => Ok(None),
        Scalar::Text(text) if Uuid::try_parse(text).is_ok() => Ok(Some(id_from_key("", text))),
        _ => Err(invalid("event_id", "must be a UUID, such as 8e03978e-40d5-43dd-bc93-6894a57f9324")),
    }
}

fn or_unknown(text: Option<String>) -> String {
    text.unwrap_or_else(|| super::UNSAID.to_owned())
}

/// Rounds half up; `round` does so for numbers that are not negative.
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
                let refused = with(&format!(r#""{field}":{number}"#)).unwrap_err();
                assert!(
                    matches!(refused, Refusal::Invalid { field: told, .. } if told == field),
                    "{refused:?}"
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
    fn what_is_not_text_is_refused_where_it_stands() {
        let refused = Report::parse(b"{\"tokens_used\":1,\n\"business_id\":\"b\xff\"}").unwrap_err();
        assert!(matches!(refused, Refusal::NotJson { line: 2, .. }), "{refused:?}");
    }

    proptest! {
        /// Whatever bytes come in, parsing answers; it never panics.
        #[test]
        fn any_bytes_are_answered(body in proptest::collection::vec(any::<u8>(), 0..200)) {
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
