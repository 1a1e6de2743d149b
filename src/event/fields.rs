//! The list of the fields of an event, from which [`Event`], the parser of reports, [`Event::report`] and the columns
//! of `ai_metrics` are generated.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use uuid::Uuid;

use super::UNKNOWN;
use super::body::Slots;
use super::column::{Column, Getter};
use super::kind::{
    EventId, Flag, Milliseconds, Satisfaction, SuccessRate, Text, Usd, Whole, absent_as, check, column,
    loosen, reported, shape,
};
use super::report::Refusal;
use super::scalar::Scalar;
use crate::shape::Shape;

/// What the API document says of `event_id`, which is no field of [`Event`].
const EVENT_ID: &str = "The caller's own name for this event: one that is sent again counts once. Without it, or the header \
                        Idempotency-Key, each request is an event of its own.";

/// A row of a query result.
pub trait Row {
    /// The error of reading a column.
    type Error;
}

/// A row that can have columns of type `T`.
pub trait ReadColumn<T>: Row {
    /// Reads the column `name`.
    fn read(&self, name: &'static str) -> Result<T, Self::Error>;
}

/// Declares the fields in the order in which they are validated, each with its name and type in [`Event`], its name in
/// reports and in `ai_metrics`, its kind and, if it is optional, the default for an absent or null value.
macro_rules! fields {
    (
        required { $($(#[doc = $required_doc:literal])+ $required:ident: $required_type:ty = $required_name:literal, $required_kind:expr;)+ }
        optional { $($(#[doc = $optional_doc:literal])+ $optional:ident: $optional_type:ty = $optional_name:literal, $optional_kind:expr, $absent:expr;)+ }
    ) => {
        /// A validated event.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Event {
            /// The id. Events with the same id are counted once.
            pub id: Uuid,
            /// Whether the caller chose [`Event::id`]. Only such an event can be a duplicate.
            pub named: bool,
            /// When the service received it.
            pub at: DateTime<Utc>,
            $($(#[doc = $required_doc])+ pub $required: $required_type,)+
            $($(#[doc = $optional_doc])+ pub $optional: $optional_type,)+
        }

        /// The fields of a report, not yet validated. The last of duplicate keys wins.
        #[derive(Debug, Default)]
        pub(super) struct Fields<'a> {
            $($required: Scalar<'a>,)+
            $($optional: Scalar<'a>,)+
            /// See [`Event::id`].
            pub(super) event_id: Scalar<'a>,
        }

        impl<'a> Slots<'a> for Fields<'a> {
            fn slot(&mut self, name: &str) -> Option<&mut Scalar<'a>> {
                match name {
                    $($required_name => Some(&mut self.$required),)+
                    $($optional_name => Some(&mut self.$optional),)+
                    "event_id" => Some(&mut self.event_id),
                    _ => None,
                }
            }
        }

        impl<'a> Fields<'a> {
            /// Converts the values of a row of a table, as databases and their tools write them, to those of a report.
            pub(super) fn loosen(&mut self) {
                $(loosen(&$required_kind, &mut self.$required);)+
                $(loosen(&$optional_kind, &mut self.$optional);)+
                loosen(&EventId, &mut self.event_id);
            }

            /// Checks that no required field is absent or null.
            pub(super) fn require(&self) -> Result<(), Refusal> {
                $(if self.$required == Scalar::Null {
                    return Err(Refusal::Missing($required_name));
                })+
                Ok(())
            }

            /// Validates every field except `event_id` and creates the event, received at `at`. Its id is nil.
            pub(super) fn into_event(self, at: DateTime<Utc>) -> Result<Event, Refusal> {
                Ok(Event {
                    id: Uuid::nil(),
                    named: false,
                    at,
                    $($required: check(&$required_kind, $required_name, self.$required)?
                        .ok_or(Refusal::Missing($required_name))?,)+
                    $($optional: check(&$optional_kind, $optional_name, self.$optional)?
                        .map_or_else(|| $absent, Into::into),)+
                })
            }
        }

        impl Event {
            /// Creates an event from a row whose columns have the names and types of its fields. Its id is nil.
            pub fn from_row<R>(row: &R, at: DateTime<Utc>) -> Result<Self, R::Error>
            where
                R: Row $(+ ReadColumn<$required_type>)+ $(+ ReadColumn<$optional_type>)+,
            {
                Ok(Self {
                    id: Uuid::nil(),
                    named: false,
                    at,
                    $($required: row.read($required_name)?,)+
                    $($optional: row.read($optional_name)?,)+
                })
            }

            /// Returns the schema of a report.
            #[must_use]
            pub fn shape() -> Shape {
                let report = Shape::open();
                $(let report = report.required(
                    $required_name,
                    shape(&$required_kind).about(concat!($($required_doc),+).trim()),
                );)+
                $(
                    let absent: $optional_type = $absent;
                    let report = report.optional(
                        $optional_name,
                        absent_as(shape(&$optional_kind).or_null(), reported(&$optional_kind, &absent))
                            .about(concat!($($optional_doc),+).trim()),
                    );
                )+
                report.optional("event_id", shape(&EventId).or_null().about(EVENT_ID))
            }

            /// Returns the report from which this event can be parsed again.
            #[must_use]
            pub fn report(&self) -> Json {
                let fields = [
                    $(($required_name, reported(&$required_kind, &self.$required)),)+
                    $(($optional_name, reported(&$optional_kind, &self.$optional)),)+
                    ("event_id", reported(&EventId, &self.id)),
                ];
                fields.into_iter().collect()
            }
        }

        /// The columns of `ai_metrics` that are written from an event.
        pub static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| vec![
            Column { name: "event_id", get: Getter::Id(|event| event.id) },
            $(column(&$required_kind, $required_name, |event| (&event.$required).into()),)+
            $(column(&$optional_kind, $optional_name, |event| (&event.$optional).into()),)+
            Column { name: "created_at", get: Getter::Time(|event| event.at) },
        ]);
    };
}

fields! {
    required {
        /// The business the conversation belongs to; 1 to 255 characters.
        business_id: String = "business_id", Text(1..=255);
        /// The response time of the AI in milliseconds; never negative.
        response_time_ms: i32 = "response_time_ms", Milliseconds;
        /// The number of tokens of prompt and completion together; never negative.
        tokens_used: i32 = "tokens_used", Whole;
    }
    optional {
        /// The conversation; at most 255 characters.
        conversation_id: Option<String> = "conversation_id", Text(0..=255), None;
        /// The session; at most 255 characters.
        session_id: String = "session_id", Text(0..=255), UNKNOWN.to_owned();
        /// The success rate, from 0 to 1. Absent, it is stored as 1 and does not change the gauge `ai_success_rate`.
        success_rate: Option<f64> = "success_rate", SuccessRate, None;
        /// The number of tokens of the prompt; never negative.
        prompt_tokens: Option<i32> = "prompt_tokens", Whole, None;
        /// The number of tokens of the completion; never negative.
        completion_tokens: Option<i32> = "completion_tokens", Whole, None;
        /// The cost in US dollars, from 0 to 9999.999999, rounded to a millionth.
        cost_micros: i64 = "api_cost_usd", Usd, 0;
        /// The model; at most 100 characters.
        model_name: String = "model_name", Text(0..=100), "gemini-1.5-flash".to_owned();
        /// The intent of the customer; at most 50 characters.
        intent_detected: String = "intent_detected", Text(0..=50), UNKNOWN.to_owned();
        /// The type of the response; at most 50 characters.
        response_type: String = "response_type", Text(0..=50), UNKNOWN.to_owned();
        /// Whether the customer asked for an appointment.
        appointment_requested: bool = "appointment_requested", Flag, false;
        /// Whether an appointment was booked.
        appointment_booked: bool = "appointment_booked", Flag, false;
        /// Whether a handoff to a human was requested.
        human_handoff_requested: bool = "human_handoff_requested", Flag, false;
        /// The length of the customer's message in characters; never negative.
        user_message_length: i32 = "user_message_length", Whole, 0;
        /// The length of the AI's response in characters; never negative.
        ai_response_length: i32 = "ai_response_length", Whole, 0;
        /// Whether the numbers of tokens are estimates.
        tokens_estimated: bool = "tokens_estimated", Flag, false;
        /// The number of tokens of the prompt that came from a cache; never negative.
        cached_tokens: Option<i32> = "cached_tokens", Whole, None;
        /// The number of tokens of the completion that the model used for reasoning; never negative.
        reasoning_tokens: Option<i32> = "reasoning_tokens", Whole, None;
        /// Why a handoff was requested, in the receptionist's words; at most 50 characters.
        handoff_reason: Option<String> = "handoff_reason", Text(0..=50), None;
        /// How satisfied the customer was, from 0 to 1.
        user_satisfaction: Option<f64> = "user_satisfaction", Satisfaction, None;
    }
}
