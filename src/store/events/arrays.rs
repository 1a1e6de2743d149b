//! A batch of events as array parameters of a Postgres statement, which unnests them into rows. The text of the
//! statement is therefore the same for any number of events. The arrays are generated from [`COLUMNS`].

use std::iter::once;

use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;

use crate::business::Profiles;
use crate::event::{COLUMNS, Column, Event, Getter, success_e4};
use crate::rollup::Key;
use crate::store::placeholders::Placeholders;
use crate::store::rollups::columns::list;
use crate::store::rollups::pending::Columns;

/// Returns the columns that are not part of the key. Keys are sent once per batch rather than once per event.
fn own_columns() -> impl Iterator<Item = &'static Column> {
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

/// Returns an `insert into ai_metrics … select` of all columns, without its `from` clause.
pub(super) fn insert_events() -> String {
    let columns = list(COLUMNS.iter().map(|column| column.name));
    let values = list(COLUMNS.iter().map(|Column { name, get }| match get {
        Getter::SuccessRate(_) => format!("{name} * 0.0001"),
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

const fn array_type(column: &Column) -> &'static str {
    match column.get {
        Getter::Id(_) => "uuid[]",
        Getter::Text(_) => "text[]",
        Getter::Int(_) | Getter::SuccessRate(_) => "int[]",
        Getter::Usd(_) => "bigint[]",
        Getter::Flag(_) => "bool[]",
        Getter::Time(_) => "timestamp[]",
    }
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
