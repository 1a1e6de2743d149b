//! Rows of another database or of an export, of which each tells an event: in the columns of `ai_metrics`, or in the fields of a report.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::mem::take;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::body::Slots;
use super::fields::Fields;
use super::kind::{EventId, check};
use super::report::parse_object;
use super::scalar::Scalar;
use super::{COLUMNS, Event, Getter, Refusal, derived_id, e4, moment, success_e4};

/// How far the clock of another machine may be ahead.
const MAX_AHEAD: TimeDelta = TimeDelta::minutes(5);

/// A row, not yet validated.
#[derive(Debug, Default)]
pub struct Record<'a> {
    fields: Fields<'a>,
    /// The column `id`: what names a row in its table.
    id: Scalar<'a>,
    created_at: Scalar<'a>,
    /// What some programs call `created_at`.
    timestamp: Scalar<'a>,
    /// Whether it consists of texts.
    is_of_cells: bool,
}

/// The event of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// The event, which is named: by the row's `event_id`, else by all that the row says.
    pub event: Event,
    /// The `id` of the row in its table, if it has one.
    pub row_id: Option<i64>,
}

impl<'a> Slots<'a> for Record<'a> {
    fn slot(&mut self, name: &str) -> Option<&mut Scalar<'a>> {
        match name {
            "id" => Some(&mut self.id),
            "created_at" => Some(&mut self.created_at),
            "timestamp" => Some(&mut self.timestamp),
            _ => self.fields.slot(name),
        }
    }
}

impl<'a> Record<'a> {
    /// Parses a line that is a JSON object: a report with a time, or a row of the table.
    pub fn parse(line: &'a [u8]) -> Result<Self, Refusal> {
        parse_object(line)
    }

    /// Returns whether a column of this name is read.
    #[must_use]
    pub fn reads(name: &str) -> bool {
        Self::default().slot(name).is_some()
    }

    /// Sets a column that is read to the text of a cell.
    pub fn set(&mut self, name: &str, cell: &'a str) {
        if let Some(slot) = self.slot(name) {
            *slot = Scalar::Text(Cow::Borrowed(cell));
        }
        self.is_of_cells = true;
    }

    /// Validates every field and creates the event. `now` is the time of the import; what was created later than that is refused, but for a
    /// few minutes.
    pub fn into_event(mut self, now: DateTime<Utc>) -> Result<Recorded, Refusal> {
        // Drivers return decimals as texts and booleans as numbers; a report has neither.
        if self.is_of_cells || self.id != Scalar::Null || self.created_at != Scalar::Null {
            self.fields.loosen();
        }
        self.fields.require()?;
        let at = time_of([take(&mut self.created_at), take(&mut self.timestamp)], now)?;
        let row_id = id_text(take(&mut self.id));
        let event_id = take(&mut self.fields.event_id);
        let event = self.fields.into_event(at)?;
        let event_id = check(&EventId, "event_id", event_id)?;
        let id = event_id.unwrap_or_else(|| id_of_content(&event, &row_id));
        Ok(Recorded { event: Event { id, named: true, ..event }, row_id: row_id.parse().ok() })
    }
}

/// Returns the time of a row, in the first of these columns that is not null.
fn time_of(columns: [Scalar<'_>; 2], now: DateTime<Utc>) -> Result<DateTime<Utc>, Refusal> {
    const NAME: &str = "created_at";
    let is_set = |value: &Scalar<'_>| *value != Scalar::Null && *value != Scalar::Text("".into());
    let value = columns.into_iter().find(is_set).ok_or(Refusal::Missing(NAME))?;
    let at = if let Scalar::Text(text) = &value { moment::parse(text) } else { None };
    let is_possible = |at: &DateTime<Utc>| (DateTime::UNIX_EPOCH..=now + MAX_AHEAD).contains(at);
    at.filter(is_possible).ok_or_else(|| {
        let must_be = "must be a time from 1970 until now, such as 2024-01-15 10:30:00.123456, in UTC unless it has an offset";
        Refusal::Invalid { field: NAME, must_be: must_be.to_owned() }
    })
}

/// Returns the `id` of a row as a text, which is the same whichever format it comes in; empty if it has none.
fn id_text(id: Scalar<'_>) -> String {
    match id {
        Scalar::Text(text) => text.trim().to_owned(),
        Scalar::Number(number) => number.to_string(),
        Scalar::Null | Scalar::Bool(_) | Scalar::Nested => String::new(),
    }
}

/// Returns an id that is derived from all that a row says, so that the row has it whenever and in whichever format it is imported. Fields
/// without a value do not count: there may be more of them in a later version.
fn id_of_content(event: &Event, row_id: &str) -> Uuid {
    let mut content = String::with_capacity(512);
    for column in COLUMNS.iter() {
        let value = match column.get {
            Getter::Id(_) => None,
            Getter::Text(get) => get(event).map(|text| Cow::Borrowed(text.as_str())),
            Getter::Int(get) => get(event).map(|number| number.to_string().into()),
            Getter::SuccessRate(get) => Some(success_e4(get(event).copied()).to_string().into()),
            Getter::Rating(get) => get(event).map(|rating| e4(*rating).to_string().into()),
            Getter::Usd(get) => get(event).map(|micros| micros.to_string().into()),
            Getter::Flag(get) => get(event).filter(|flag| **flag).map(|_| "true".into()),
            Getter::Time(get) => Some(get(event).timestamp_micros().to_string().into()),
        };
        if let Some(value) = value {
            // A `String` takes everything.
            let _ = write!(content, "{}={}:{value};", column.name, value.len());
        }
    }
    derived_id(&["imported", row_id, &content])
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"id":7,"business_id":"acme","session_id":"s","response_time_ms":150,"success_rate":0.95,"tokens_used":75,
        "api_cost_usd":0.002,"appointment_booked":true,"created_at":"2024-01-15T10:30:00Z"}"#;

    fn now() -> DateTime<Utc> {
        moment::parse("2026-01-01 00:00:00").unwrap()
    }

    fn of_line(line: &str) -> Result<Recorded, Refusal> {
        Record::parse(line.as_bytes())?.into_event(now())
    }

    fn of_cells(cells: &[(&str, &str)]) -> Result<Recorded, Refusal> {
        let mut record = Record::default();
        for (name, cell) in cells {
            record.set(name, cell);
        }
        record.into_event(now())
    }

    const CELLS: [(&str, &str); 9] = [
        ("id", "7"),
        ("business_id", "acme"),
        ("session_id", "s"),
        ("response_time_ms", "150"),
        ("success_rate", "0.9500"),
        ("tokens_used", "75"),
        ("api_cost_usd", "0.002000"),
        ("appointment_booked", "t"),
        ("created_at", "2024-01-15 10:30:00"),
    ];

    #[test]
    fn a_row_is_the_same_event_in_every_format() {
        let line = of_line(LINE).unwrap();
        assert_eq!(of_cells(&CELLS).unwrap(), line);
        assert_eq!((line.row_id, line.event.named), (Some(7), true));
        let as_a_driver_says = LINE.replace("0.95", r#""0.9500""#).replace("true", "1");
        assert_eq!(of_line(&as_a_driver_says).unwrap(), line);
        let with_nothing_more =
            LINE.replace(r#""id""#, r#""tokens_estimated":false,"cached_tokens":null,"id""#);
        assert_eq!(of_line(&with_nothing_more).unwrap(), line);
    }

    #[test]
    fn a_report_is_held_to_the_types_of_reports() {
        let report = r#"{"business_id":"acme","response_time_ms":150,"tokens_used":75,"timestamp":"2024-01-15T10:30:00Z"}"#;
        assert!(of_line(report).is_ok());
        let refused = of_line(&report.replace("150", r#""150""#)).unwrap_err();
        assert!(matches!(refused, Refusal::Invalid { field: "response_time_ms", .. }), "{refused:?}");
    }

    #[test]
    fn whatever_differs_makes_another_event() {
        let line = of_line(LINE).unwrap();
        for (from, to) in [
            ("7", "8"),
            ("acme", "bolt"),
            ("150", "151"),
            ("0.95", "0.96"),
            ("true", "false"),
            ("10:30", "10:31"),
            ("0.002", "0.003"),
        ] {
            assert_ne!(of_line(&LINE.replacen(from, to, 1)).unwrap().event.id, line.event.id, "{from}");
        }
    }

    #[test]
    fn an_event_id_counts_unless_it_marks_a_row_of_another_program() {
        let id = "8e03978e-40d5-43dd-bc93-6894a57f9324";
        let with = |id: &str| of_cells(&[&CELLS[..], &[("event_id", id)]].concat()).map(|told| told.event.id);
        assert_eq!(with(id).unwrap().to_string(), id);
        let own = of_cells(&CELLS).unwrap().event.id;
        for none in ["", "00000000-0000-8000-8000-000000000007", "00000000-0000-8001-8000-000000000007"] {
            assert_eq!(with(none).unwrap(), own, "{none}");
        }
        assert!(matches!(with("7"), Err(Refusal::Invalid { field: "event_id", .. })));
    }

    #[test]
    fn a_row_needs_a_time_that_is_over() {
        let timed = |at: &str| of_cells(&[&CELLS[..8], &[("timestamp", at)]].concat());
        assert!(timed("2026-01-01T00:04:59Z").is_ok());
        for at in ["2026-01-01T00:05:01Z", "1969-12-31T23:59:59Z", "yesterday"] {
            assert!(matches!(timed(at), Err(Refusal::Invalid { field: "created_at", .. })), "{at}");
        }
        assert_eq!(of_cells(&CELLS[..8]), Err(Refusal::Missing("created_at")));
    }
}
