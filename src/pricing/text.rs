//! Parses the text of a table: CSV with a header, in which lines that begin with `#` are comments.

use std::collections::HashMap;
use std::fmt;

use csv::{ReaderBuilder, StringRecord, Trim};

use super::price::Price;
use super::row::{self, COLUMNS};

/// Why a row cannot be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong and what it must be; quotes nothing of the row.
    pub reason: String,
}

impl fmt::Display for PriceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

/// A row, with its line.
pub(super) type Numbered = (usize, Price);

/// Parses a table; `own` is whether it is the operator's. Returns the rows that can be right, in their order, and what is wrong with the
/// others.
pub(super) fn parse(text: &str, own: bool) -> (Vec<Numbered>, Vec<PriceError>) {
    let (mut rows, mut errors) = (Vec::new(), Vec::new());
    let mut lines = records(text);
    let Some((line, header)) = lines.next() else {
        errors.push(PriceError { line: 1, reason: format!("the header is missing: {}", COLUMNS.join(",")) });
        return (rows, errors);
    };
    let columns = match header.and_then(|header| columns(&header)) {
        Ok(columns) => columns,
        Err(reason) => return (rows, vec![PriceError { line, reason }]),
    };
    for (line, record) in lines {
        let parsed = record.map_err(|reason| vec![reason]).and_then(|record| match record.len() {
            fields if fields == COLUMNS.len() => {
                row::parse(|column| record.get(columns[column]).unwrap_or(""), own)
            }
            fields => Err(vec![format!("must have {} fields, and has {fields}", COLUMNS.len())]),
        });
        match parsed {
            Ok(price) => rows.push((line, price)),
            Err(reasons) => {
                errors.extend(reasons.into_iter().map(|reason| PriceError { line, reason }));
            }
        }
    }
    errors.extend(doubled(&rows));
    errors.sort_by_key(|error| error.line);
    (rows, errors)
}

/// Iterates over the records, each with its line. Comments and empty lines are left out beforehand, because the reader would count the
/// line of the first one as that of the record behind it.
fn records(text: &str) -> impl Iterator<Item = (usize, Result<StringRecord, String>)> {
    let text = text.trim_start_matches('\u{feff}');
    let lines = text.lines().enumerate().filter(|(_, line)| {
        let line = line.trim_start();
        !line.is_empty() && !line.starts_with('#')
    });
    let (numbers, lines): (Vec<usize>, Vec<&str>) = lines.map(|(index, line)| (index + 1, line)).unzip();
    let text = std::io::Cursor::new(lines.join("\n").into_bytes());
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).trim(Trim::All).from_reader(text);
    std::iter::from_fn(move || {
        let mut record = StringRecord::new();
        let read = reader.read_record(&mut record);
        let position = record.position().map_or(0, csv::Position::line);
        let index = usize::try_from(position).unwrap_or(usize::MAX).saturating_sub(1);
        let line = numbers.get(index).copied().unwrap_or(1);
        match read {
            Ok(false) => None,
            Ok(true) => Some((line, Ok(record))),
            Err(_) => Some((line, Err("cannot be read as CSV".to_owned()))),
        }
    })
}

/// Returns the positions of the columns.
fn columns(header: &StringRecord) -> Result<HashMap<&'static str, usize>, String> {
    let mut columns = HashMap::new();
    for (index, name) in header.iter().enumerate() {
        let known = COLUMNS.into_iter().find(|column| column.eq_ignore_ascii_case(name));
        let known = known.ok_or_else(|| {
            format!("column {} is unknown; the columns are {}", index + 1, COLUMNS.join(","))
        })?;
        if columns.insert(known, index).is_some() {
            return Err(format!("the column {known} is there twice"));
        }
    }
    match COLUMNS.into_iter().find(|column| !columns.contains_key(column)) {
        Some(missing) => {
            Err(format!("the column {missing} is missing; the columns are {}", COLUMNS.join(",")))
        }
        None => Ok(columns),
    }
}

/// Returns errors for rows that stand for the same as an earlier one.
fn doubled(rows: &[Numbered]) -> Vec<PriceError> {
    let mut first = HashMap::new();
    let again = rows.iter().filter_map(|(line, price)| {
        let before = *first.entry(price.key()).or_insert(*line);
        let reason = || {
            format!(
                "has the provider, match, model, valid_from and tier_from_prompt_tokens of line {before}; remove one of \
                 them"
            )
        };
        (before != *line).then(|| PriceError { line: *line, reason: reason() })
    });
    again.collect()
}
