//! A batch of events as array parameters of a Postgres statement, which unnests them into rows. The text of the
//! statement is therefore the same for any number of events. The arrays are generated from [`COLUMNS`].

use std::iter::once;

use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;

use crate::business::Profiles;
use crate::event::{COLUMNS, Column, Event, Getter, e4, success_e4};
use crate::rollup::Key;
use crate::store::placeholders::Placeholders;
use crate::store::rollups::columns::list;
use crate::store::rollups::pending::Columns;

/// Returns the columns that are not part of the key. Keys are sent once per batch rather than once per event.
pub(super) fn own_columns() -> impl Iterator<Item = &'static Column> {
    COLUMNS.iter().filter(|column| !Key::COLUMNS.contains(&column.name))
}

/// Returns a from item, `input`, with one row per event bound by [`bind_events`]. Its column `key` is the position of
/// the event's key in the arrays of keys.
pub(super) fn event_rows(params: &mut Placeholders) -> String {
    let keys = Key::COLUMNS.map(|column| format!("({}::text[])[key] as {column}", params.one()));
    let arrays = params.typed(once("int[]").chain(own_columns().map(array_type)));
    let columns = list(own_columns().map(|column| column.name));
    let keys = list(keys);
    format!("(select input.*, {keys} from unnest({arrays}) as input(key, {columns})) input")
}

/// The same with one row per event bound by [`bind_whole_events`]. Postgres finds an element of an array of texts by walking through those before
/// it, so for thousands of events it is faster to send keys again and again than to look them up.
pub(super) fn whole_event_rows(params: &mut Placeholders) -> String {
    let arrays = params.typed(COLUMNS.iter().map(array_type));
    let columns = list(COLUMNS.iter().map(|column| column.name));
    format!("unnest({arrays}) as input({columns})")
}

/// Returns an `insert into ai_metrics … select` of all columns, without its `from` clause.
pub(super) fn insert_events() -> String {
    let columns = list(COLUMNS.iter().map(|column| column.name));
    let values = list(COLUMNS.iter().map(|Column { name, get }| match get {
        Getter::SuccessRate(_) | Getter::Rating(_) => format!("{name} * 0.0001"),
        Getter::Usd(_) => format!("{name} * 0.000001"),
        _ => (*name).to_owned(),
    }));
    format!("insert into ai_metrics ({columns}) select {values}")
}

/// Binds keys and events to the placeholders of [`event_rows`].
pub(super) fn bind_events<'e>(
    query: Query<'e, Postgres, PgArguments>,
    keys: &Columns<'e>,
    events: &'e [Event],
    profiles: &Profiles,
) -> Query<'e, Postgres, PgArguments> {
    let query = keys.bind_keys(query);
    let query = query
        .bind(column(events, |event| keys.position_of(profiles.day(&event.business_id, event.at), event)));
    own_columns().fold(query, |query, own| bind_column(query, own, events))
}

/// Binds events to the placeholders of [`whole_event_rows`].
pub(super) fn bind_whole_events<'e>(
    query: Query<'e, Postgres, PgArguments>,
    events: &'e [Event],
) -> Query<'e, Postgres, PgArguments> {
    COLUMNS.iter().fold(query, |query, column| bind_column(query, column, events))
}

const fn array_type(column: &Column) -> &'static str {
    match column.get {
        Getter::Id(_) => "uuid[]",
        Getter::Text(_) => "text[]",
        Getter::Int(_) | Getter::SuccessRate(_) | Getter::Rating(_) => "int[]",
        Getter::Usd(_) => "bigint[]",
        Getter::Flag(_) => "bool[]",
        Getter::Time(_) => "timestamp[]",
    }
}

/// Returns the number of bytes of an event's value in the array of a column: its length, and unless it is null the value.
pub(super) fn array_bytes(column: &Column, event: &Event) -> usize {
    const LENGTH: usize = 4;
    let value = match column.get {
        Getter::Id(_) => Some(16),
        Getter::Text(get) => get(event).map(String::len),
        Getter::Int(get) => get(event).map(|_| 4),
        Getter::SuccessRate(_) => Some(4),
        Getter::Rating(get) => get(event).map(|_| 4),
        Getter::Usd(get) => get(event).map(|_| 8),
        Getter::Flag(get) => get(event).map(|_| 1),
        Getter::Time(_) => Some(8),
    };
    LENGTH + value.unwrap_or(0)
}

fn bind_column<'e>(
    query: Query<'e, Postgres, PgArguments>,
    of: &Column,
    events: &'e [Event],
) -> Query<'e, Postgres, PgArguments> {
    match of.get {
        Getter::Id(get) => query.bind(column(events, get)),
        Getter::Text(get) => query.bind(column(events, |event| get(event).map(String::as_str))),
        Getter::Int(get) => query.bind(column(events, |event| get(event).copied())),
        Getter::SuccessRate(get) => query.bind(column(events, |event| success_e4(get(event).copied()))),
        Getter::Rating(get) => query.bind(column(events, |event| get(event).copied().map(e4))),
        Getter::Usd(get) => query.bind(column(events, |event| get(event).copied())),
        Getter::Flag(get) => query.bind(column(events, |event| get(event).copied())),
        Getter::Time(get) => query.bind(column(events, |event| get(event).naive_utc())),
    }
}

/// Returns the array of one value per event.
pub(super) fn column<'e, T>(
    events: impl IntoIterator<Item = &'e Event>,
    value: impl Fn(&'e Event) -> T,
) -> Vec<T> {
    events.into_iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use sqlx::Encode;
    use sqlx::postgres::PgArgumentBuffer;

    use super::*;
    use crate::event::Report;

    fn event(optional: &str) -> Event {
        let report = format!(r#"{{"business_id":"b","response_time_ms":1,"tokens_used":1{optional}}}"#);
        Report::parse(report.as_bytes()).unwrap().into_event(None, DateTime::UNIX_EPOCH).unwrap()
    }

    /// The number of bytes of an array's elements, as they are sent.
    fn sent<'v, T>(values: Vec<T>) -> usize
    where
        Vec<T>: Encode<'v, Postgres>,
    {
        const HEAD: usize = 20;
        let mut buffer = PgArgumentBuffer::default();
        assert!(!values.encode(&mut buffer).unwrap().is_null());
        buffer.len() - HEAD
    }

    #[test]
    fn the_sizes_of_values_are_those_that_are_sent() {
        let full = event(
            r#","conversation_id":"ü","success_rate":0.5,"prompt_tokens":1,"cached_tokens":2,"handoff_reason":"why",
               "user_satisfaction":0.5,"tokens_estimated":true"#,
        );
        let events = [event(""), full];
        for own in own_columns() {
            let expected: usize = events.iter().map(|event| array_bytes(own, event)).sum();
            let sent = match own.get {
                Getter::Id(get) => sent(column(&events, get)),
                Getter::Text(get) => sent(column(&events, |event| get(event).map(String::as_str))),
                Getter::Int(get) => sent(column(&events, |event| get(event).copied())),
                Getter::SuccessRate(get) => sent(column(&events, |event| success_e4(get(event).copied()))),
                Getter::Rating(get) => sent(column(&events, |event| get(event).copied().map(e4))),
                Getter::Usd(get) => sent(column(&events, |event| get(event).copied())),
                Getter::Flag(get) => sent(column(&events, |event| get(event).copied())),
                Getter::Time(get) => sent(column(&events, |event| get(event).naive_utc())),
            };
            assert_eq!(sent, expected, "{}", own.name);
        }
    }
}
