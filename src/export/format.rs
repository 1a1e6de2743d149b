//! The formats of an export.

use serde_json::Value as Json;
use uuid::Uuid;

use crate::event::{COLUMNS, FOREIGN_ID_PREFIXES, Getter};
use crate::import::Format;
use crate::store::ExportedRow;

/// The name of the first column: what names a row in its table.
const ID: &str = "id";

/// Writes what precedes the rows.
pub(super) fn head(format: Format, into: &mut Vec<u8>) {
    if format == Format::Csv {
        let names: Vec<&str> = std::iter::once(ID).chain(COLUMNS.iter().map(|column| column.name)).collect();
        into.extend_from_slice(names.join(",").as_bytes());
        into.push(b'\n');
    }
}

/// Writes a row.
pub(super) fn row(format: Format, mut row: ExportedRow, into: &mut Vec<u8>) {
    for (value, column) in row.iter_mut().skip(1).zip(COLUMNS.iter()) {
        if matches!(column.get, Getter::Id(_)) {
            *value = value.take().and_then(|id| event_id(&id));
        }
    }
    match format {
        Format::Csv => csv(&row, into),
        Format::Ndjson => json(row, into),
    }
    into.push(b'\n');
}

/// Returns the id of an event; `None` if it only marks a row of another program, and is another one elsewhere.
fn event_id(text: &str) -> Option<String> {
    let id = Uuid::try_parse(text).ok()?;
    let is_foreign = FOREIGN_ID_PREFIXES.iter().any(|prefix| id.as_bytes().starts_with(prefix));
    (!is_foreign).then(|| id.to_string())
}

/// Writes a row of CSV as Postgres does: null is nothing, and an empty text is `""`. A writer of CSV would write nothing for both.
fn csv(row: &ExportedRow, into: &mut Vec<u8>) {
    for (n, value) in row.iter().enumerate() {
        if n > 0 {
            into.push(b',');
        }
        let Some(text) = value else { continue };
        match text.is_empty() || text.contains(['"', ',', '\n', '\r']) {
            true => into.extend_from_slice(format!("\"{}\"", text.replace('"', "\"\"")).as_bytes()),
            false => into.extend_from_slice(text.as_bytes()),
        }
    }
}

fn json(row: ExportedRow, into: &mut Vec<u8>) {
    let mut values = row.into_iter();
    let id = number(values.next().flatten());
    let fields = COLUMNS.iter().zip(values).map(|(column, value)| {
        let value = match column.get {
            Getter::Int(_) | Getter::SuccessRate(_) | Getter::Rating(_) | Getter::Usd(_) => number(value),
            Getter::Flag(_) => value.map_or(Json::Null, |flag| (flag == "true").into()),
            Getter::Id(_) | Getter::Text(_) | Getter::Time(_) => value.into(),
        };
        (column.name, value)
    });
    let object: Json = std::iter::once((ID, id)).chain(fields).collect();
    into.extend_from_slice(object.to_string().as_bytes());
}

/// Returns a number as it is written; what is none, as a text.
fn number(text: Option<String>) -> Json {
    text.map_or(Json::Null, |text| {
        serde_json::from_str(&text).ok().filter(Json::is_number).unwrap_or_else(|| text.into())
    })
}
