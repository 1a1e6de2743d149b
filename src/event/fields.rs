//! The fields of an event, in one list: [`Event`], what `POST /track` accepts, the report that makes an event again, and the
//! columns of `ai_metrics` follow from it.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use uuid::Uuid;

use super::UNKNOWN;
use super::column::{Column, Getter};
use super::kind::{EventId, Flag, Milliseconds, SuccessRate, Text, Usd, Whole, check, column, reported};
use super::report::Refusal;
use super::scalar::Scalar;

/// A row of a table.
pub trait Row {
    /// Why a column cannot be read.
    type Error;
}

/// A row with columns of the type `T`.
pub trait ReadColumn<T>: Row {
    /// Reads the column `name`.
    fn read(&self, name: &'static str) -> Result<T, Self::Error>;
}

/// Declares the fields in the order in which they are checked: the name and type in an event, the name in a report and in
/// `ai_metrics`, the kind, and for an optional field the value when it is absent or null.
macro_rules! fields {
    (
        required { $($(#[$required_doc:meta])+ $required:ident: $required_type:ty = $required_name:literal, $required_kind:expr;)+ }
        optional { $($(#[$optional_doc:meta])+ $optional:ident: $optional_type:ty = $optional_name:literal, $optional_kind:expr, $absent:expr;)+ }
    ) => {
        /// A checked event, ready to be stored.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Event {
            /// Its identity: however often it is sent, it counts once.
            pub id: Uuid,
            /// Whether the caller chose [`Event::id`]; only then can an event be a repeat.
            pub named: bool,
            /// When the service received it.
            pub at: DateTime<Utc>,
            $($(#[$required_doc])+ pub $required: $required_type,)+
            $($(#[$optional_doc])+ pub $optional: $optional_type,)+
        }

        /// The fields of a report, as they came. A key that comes twice has its last value.
        #[derive(Debug, Default)]
        pub(super) struct Fields<'a> {
            $($required: Scalar<'a>,)+
            $($optional: Scalar<'a>,)+
            /// See [`Event::id`].
            pub(super) event_id: Scalar<'a>,
        }

        impl<'a> Fields<'a> {
            /// Returns the field `name`, if there is such a field.
            pub(super) fn slot(&mut self, name: &str) -> Option<&mut Scalar<'a>> {
                match name {
                    $($required_name => Some(&mut self.$required),)+
                    $($optional_name => Some(&mut self.$optional),)+
                    "event_id" => Some(&mut self.event_id),
                    _ => None,
                }
            }

            /// Checks that all required fields are there.
            pub(super) fn require(&self) -> Result<(), Refusal> {
                $(if self.$required == Scalar::Null {
                    return Err(Refusal::Missing($required_name));
                })+
                Ok(())
            }

            /// Checks every field but `event_id`, and creates the event, received at `at`, without its identity.
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
            /// Reads the event of a row whose columns have the values of an event, without its identity.
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

            /// Returns the report that makes this event again.
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

        /// Every column of `ai_metrics` that an event fills.
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
        /// How long the AI took, in milliseconds; never negative.
        response_time_ms: i32 = "response_time_ms", Milliseconds;
        /// Tokens of prompt and completion together; never negative.
        tokens_used: i32 = "tokens_used", Whole;
    }
    optional {
        /// At most 255 characters.
        conversation_id: Option<String> = "conversation_id", Text(0..=255), None;
        /// At most 255 characters.
        session_id: String = "session_id", Text(0..=255), UNKNOWN.to_owned();
        /// Between 0 and 1. `None` is stored as 1 and leaves the gauge `ai_success_rate` alone.
        success_rate: Option<f64> = "success_rate", SuccessRate, None;
        /// Never negative.
        prompt_tokens: Option<i32> = "prompt_tokens", Whole, None;
        /// Never negative.
        completion_tokens: Option<i32> = "completion_tokens", Whole, None;
        /// Cost in millionths of a US dollar, 0 to 9,999,999,999.
        cost_micros: i64 = "api_cost_usd", Usd, 0;
        /// At most 100 characters.
        model_name: String = "model_name", Text(0..=100), "gemini-1.5-flash".to_owned();
        /// At most 50 characters.
        intent_detected: String = "intent_detected", Text(0..=50), UNKNOWN.to_owned();
        /// At most 50 characters.
        response_type: String = "response_type", Text(0..=50), UNKNOWN.to_owned();
        /// Whether the customer asked for an appointment.
        appointment_requested: bool = "appointment_requested", Flag, false;
        /// Whether one was booked.
        appointment_booked: bool = "appointment_booked", Flag, false;
        /// Whether the AI handed over to a person.
        human_handoff_requested: bool = "human_handoff_requested", Flag, false;
        /// Length of the customer's message in characters; never negative.
        user_message_length: i32 = "user_message_length", Whole, 0;
        /// Length of the AI's answer in characters; never negative.
        ai_response_length: i32 = "ai_response_length", Whole, 0;
    }
}
