//! Takes the person out of rows that stay. What a column of the receptionist app may hold is not known, so all that is not
//! known to be free of persons is taken out.

use super::schema::{Column, Schema, Table};
use crate::event::UNSAID;

/// What stands in columns that must hold something.
const NOBODY: &str = "anonymised";

/// Columns of an appointment, and of an event, that are texts or the like and tell nothing of a person.
const KEPT: [&str; 19] = [
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

/// Types whose values are no text: numbers, times, truth values and the words of a fixed list.
const PLAIN_TYPES: [&str; 15] = [
    "bool", "smallint", "int", "bigint", "numeric", "decimal", "real", "double", "float", "money", "date",
    "time", "interval", "enum", "serial",
];

/// Parts of names of columns that lead to a person whatever their type.
const LEADS: [&str; 7] = ["customer", "conversation", "session", "contact", "phone", "email", "user"];

/// The assignments that make a row of `table` anonymous; `None` where it has no column to be changed.
pub(super) fn assignments(schema: &Schema, table: Table) -> Option<String> {
    let columns = schema.columns(table).iter().filter(|column| !column.generated && holds_person(column));
    let changes: Vec<String> =
        columns.map(|column| format!("{} = {}", column.quoted(), nobody(table, column))).collect();
    (!changes.is_empty()).then(|| changes.join(", "))
}

fn holds_person(column: &Column) -> bool {
    let (name, kind) = (column.name.to_lowercase(), column.kind.to_lowercase());
    // An event says that its user's message had a length.
    let leads = LEADS.iter().any(|lead| name.contains(lead)) && name != "user_message_length";
    let plain = PLAIN_TYPES.iter().any(|plain| kind.starts_with(plain)) && !kind.ends_with("[]");
    leads || !plain && !KEPT.contains(&name.as_str())
}

/// What a column holds of nobody.
fn nobody(table: Table, column: &Column) -> String {
    let kind = column.kind.to_lowercase();
    match kind.as_str() {
        _ if !column.must_be_set => "null".to_owned(),
        _ if table == Table::Events && column.name == "session_id" => format!("'{UNSAID}'"),
        "json" | "jsonb" => "'{}'".to_owned(),
        "uuid" => "'00000000-0000-0000-0000-000000000000'".to_owned(),
        "bytea" | "blob" => "''".to_owned(),
        array if array.ends_with("[]") => "'{}'".to_owned(),
        plain if PLAIN_TYPES.iter().any(|one| plain.starts_with(one)) => "'0'".to_owned(),
        // A cast cuts it to the length of the column, where a plain text would be refused.
        _ => format!("cast('{NOBODY}' as {})", column.kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: &str) -> Column {
        Column { name: name.to_owned(), kind: kind.to_owned(), must_be_set: false, generated: false }
    }

    #[test]
    fn what_is_not_known_to_be_free_of_persons_is_taken_out() {
        for (name, kind) in [
            ("customer_name", "text"),
            ("notes", "character varying(40)"),
            ("customer_id", "bigint"),
            ("conversation_id", "uuid"),
            ("calendar_event", "text"),
            ("metadata", "jsonb"),
            ("attendees", "integer[]"),
            ("whatever", "some_type"),
        ] {
            assert!(holds_person(&column(name, kind)), "{name}");
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
        ] {
            assert!(!holds_person(&column(name, kind)), "{name}");
        }
    }

    #[test]
    fn what_must_hold_something_holds_nobody() {
        let must = |name: &str, kind: &str| Column { must_be_set: true, ..column(name, kind) };
        let appointment = |name: &str, kind: &str| nobody(Table::Appointments, &must(name, kind));
        assert_eq!(nobody(Table::Events, &must("session_id", "text")), "'unknown'");
        assert_eq!(appointment("customer_name", "varchar(5)"), "cast('anonymised' as varchar(5))");
        assert_eq!(appointment("customer_id", "bigint"), "'0'");
        assert_eq!(appointment("details", "jsonb"), "'{}'");
        assert_eq!(nobody(Table::Appointments, &column("notes", "text")), "null");
    }
}
