//! Anonymises rows that stay. The contents of the receptionist app's columns are unknown, so every column
//! that is not known to be free of personal data is overwritten.

use super::schema::{Column, Schema, Table};
use crate::event::UNKNOWN;

/// The value of columns that must not be null.
pub(super) const PLACEHOLDER: &str = "anonymised";

/// Text columns of appointments and events without personal data.
const IMPERSONAL: [&str; 19] = [
    "id",
    "event_id",
    "business_id",
    "model_name",
    "intent_detected",
    "response_type",
    "status",
    "appointment_date",
    "appointment_time",
    "start_time",
    "end_time",
    "timezone",
    "service",
    "service_id",
    "service_type",
    "appointment_type",
    "location_id",
    "staff_id",
    "resource_id",
];

/// Types that are not free text: numbers, times, booleans and enums.
const PLAIN_TYPES: [&str; 15] = [
    "bool", "smallint", "int", "bigint", "numeric", "decimal", "real", "double", "float", "money", "date",
    "time", "interval", "enum", "serial",
];

/// Parts of the names of columns that identify a person regardless of their type.
const IDENTIFYING: [&str; 7] = ["customer", "conversation", "session", "contact", "phone", "email", "user"];

/// Columns that are named after a person and identify nobody: the length of a message, and a rating.
const MEASURES: [&str; 2] = ["user_message_length", "user_satisfaction"];

/// Returns the assignments that anonymise a row of `table`; `None` if no column needs to change.
pub(super) fn assignments(schema: &Schema, table: Table) -> Option<String> {
    let columns = schema.columns(table).iter().filter(|column| !column.generated && may_identify(column));
    let changes: Vec<String> =
        columns.map(|column| format!("{} = {}", column.quoted(), placeholder(table, column))).collect();
    (!changes.is_empty()).then(|| changes.join(", "))
}

fn may_identify(column: &Column) -> bool {
    identifies(column) || is_free_text(column)
}

fn identifies(column: &Column) -> bool {
    let name = column.name.to_lowercase();
    IDENTIFYING.iter().any(|part| name.contains(part)) && !MEASURES.contains(&name.as_str())
}

fn is_free_text(column: &Column) -> bool {
    let (name, kind) = (column.name.to_lowercase(), column.kind.to_lowercase());
    let plain = PLAIN_TYPES.iter().any(|plain| kind.starts_with(plain)) && !kind.ends_with("[]");
    !plain && !IMPERSONAL.contains(&name.as_str())
}

/// Returns whether people may be mentioned in a column, rather than named by it.
pub(super) fn may_mention(column: &Column) -> bool {
    is_free_text(column) && !identifies(column)
}

/// Returns the SQL of a column's anonymous value.
fn placeholder(table: Table, column: &Column) -> String {
    let kind = column.kind.to_lowercase();
    match kind.as_str() {
        _ if !column.must_be_set => "null".to_owned(),
        _ if table == Table::Events && column.name == "session_id" => format!("'{UNKNOWN}'"),
        "json" | "jsonb" => "'{}'".to_owned(),
        "uuid" => "'00000000-0000-0000-0000-000000000000'".to_owned(),
        "bytea" | "blob" => "''".to_owned(),
        array if array.ends_with("[]") => "'{}'".to_owned(),
        plain if PLAIN_TYPES.iter().any(|one| plain.starts_with(one)) => "'0'".to_owned(),
        // The casts truncate to the length of the column, which would reject a longer text.
        // Any other text would be taken for a conversation that led to the appointment.
        _ if table == Table::Appointments && column.name == "conversation_id" => {
            format!("cast('{UNKNOWN}' as {})", column.kind)
        }
        _ => format!("cast('{PLACEHOLDER}' as {})", column.kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: &str) -> Column {
        Column { name: name.to_owned(), kind: kind.to_owned(), must_be_set: false, generated: false }
    }

    #[test]
    fn columns_not_known_to_be_impersonal_are_overwritten() {
        for (name, kind) in [
            ("customer_name", "text"),
            ("notes", "character varying(40)"),
            ("customer_id", "bigint"),
            ("conversation_id", "uuid"),
            ("calendar_event", "text"),
            ("handoff_reason", "character varying(50)"),
            ("user_satisfaction", "text"),
            ("metadata", "jsonb"),
            ("attendees", "integer[]"),
            ("whatever", "some_type"),
        ] {
            assert!(may_identify(&column(name, kind)), "{name}");
        }
        for (name, kind) in [
            ("id", "text"),
            ("business_id", "text"),
            ("status", "character varying(20)"),
            ("appointment_date", "date"),
            ("appointment_time", "text"),
            ("created_at", "timestamp with time zone"),
            ("duration_minutes", "integer"),
            ("reminded", "BOOLEAN"),
            ("kind", "enum"),
            ("user_message_length", "integer"),
            ("user_satisfaction", "numeric(5,4)"),
            ("cached_tokens", "integer"),
            ("reasoning_tokens", "integer"),
            ("tokens_estimated", "boolean"),
        ] {
            assert!(!may_identify(&column(name, kind)), "{name}");
        }
    }

    #[test]
    fn columns_that_must_not_be_null_get_a_placeholder() {
        let must = |name: &str, kind: &str| Column { must_be_set: true, ..column(name, kind) };
        let appointment = |name: &str, kind: &str| placeholder(Table::Appointments, &must(name, kind));
        assert_eq!(placeholder(Table::Events, &must("session_id", "text")), "'unknown'");
        assert_eq!(appointment("customer_name", "varchar(5)"), "cast('anonymised' as varchar(5))");
        assert_eq!(appointment("conversation_id", "text"), "cast('unknown' as text)");
        assert_eq!(appointment("customer_id", "bigint"), "'0'");
        assert_eq!(appointment("details", "jsonb"), "'{}'");
        assert_eq!(placeholder(Table::Appointments, &column("notes", "text")), "null");
    }
}
