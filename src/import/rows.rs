//! The rows of an input, each with its line.

use std::collections::BTreeSet;
use std::io::{BufRead, Read};

use csv::{ByteRecord, Reader, ReaderBuilder};

use super::empty_marks::{EMPTY, EmptyMarks};
use super::input::{Format, InputError, Opened};
use super::{Now, RefusedRow};
use crate::event::{Record, Recorded, Refusal};

/// The longest line of NDJSON, in bytes: the longest body of `POST /track`.
const MAX_LINE: usize = 64 * 1024;

/// A row: the event that it tells of, or why it is refused.
pub(super) type Row = Result<(u64, Recorded), RefusedRow>;

/// The rows of an input.
pub(super) enum Rows {
    Csv(CsvRows),
    Lines(Lines),
}

impl Rows {
    /// Reads what precedes the rows.
    pub(super) fn of(opened: Opened, named_by_id: bool) -> Result<Self, InputError> {
        Ok(match opened.format {
            Format::Csv => Self::Csv(CsvRows::new(opened.bytes, named_by_id)?),
            Format::Ndjson => Self::Lines(Lines { bytes: opened.bytes, line: Vec::new(), number: 0 }),
        })
    }

    /// Returns the names of columns that are not read.
    pub(super) fn ignored(&self) -> Vec<String> {
        if let Self::Csv(rows) = self { rows.ignored.iter().cloned().collect() } else { Vec::new() }
    }

    /// Returns the next row; `None` if there is none.
    pub(super) fn next(&mut self, now: Now) -> Result<Option<Row>, InputError> {
        match self {
            Self::Csv(rows) => rows.next(now),
            Self::Lines(lines) => lines.next(now),
        }
    }
}

/// The reason for which a row is refused.
fn reason(refusal: &Refusal) -> String {
    let (error, message) = refusal.told();
    format!("{error}: {message}")
}

/// Rows of CSV.
pub(super) struct CsvRows {
    reader: Reader<EmptyMarks<Box<dyn BufRead + Send>>>,
    /// The names of the columns, `None` for those that are not read.
    columns: Vec<Option<String>>,
    ignored: BTreeSet<String>,
    record: ByteRecord,
    /// Whether rows are told by their `id`: lines of a table mean nothing to anybody.
    named_by_id: bool,
}

impl CsvRows {
    fn new(bytes: Box<dyn BufRead + Send>, named_by_id: bool) -> Result<Self, InputError> {
        let mut reader =
            ReaderBuilder::new().has_headers(false).flexible(true).from_reader(EmptyMarks::new(bytes));
        let mut record = ByteRecord::new();
        reader.read_byte_record(&mut record).map_err(|error| InputError::Read(error.into()))?;
        let (mut columns, mut ignored) = (Vec::new(), BTreeSet::new());
        for cell in &record {
            let name = String::from_utf8_lossy(cell).trim().to_ascii_lowercase();
            let is_read = Record::reads(&name);
            if !is_read {
                // Of a first line that names no columns, nothing is told: it may be a row.
                ignored.insert(name.clone());
            }
            columns.push(is_read.then_some(name));
        }
        let has = |name: &str| columns.iter().flatten().any(|column| column == name);
        for required in ["business_id", "response_time_ms", "tokens_used"] {
            if !has(required) {
                return Err(InputError::NoColumn(required));
            }
        }
        if !has("created_at") && !has("timestamp") {
            return Err(InputError::NoColumn("created_at"));
        }
        Ok(Self { reader, columns, ignored, record, named_by_id })
    }

    fn next(&mut self, now: Now) -> Result<Option<Row>, InputError> {
        let read = self.reader.read_byte_record(&mut self.record);
        if !read.map_err(|error| InputError::Read(error.into()))? {
            return Ok(None);
        }
        let line = self.record.position().map_or(0, csv::Position::line);
        let row = self.row(now);
        let line = if self.named_by_id { self.id().unwrap_or(line) } else { line };
        Ok(Some(row.map(|told| (line, told)).map_err(|reason| RefusedRow { line, reason })))
    }

    fn row(&self, now: Now) -> Result<Recorded, String> {
        let (cells, expected) = (self.record.len(), self.columns.len());
        if cells != expected {
            return Err(format!("Invalid CSV: the row has {cells} cells, and the first line {expected}"));
        }
        let mut record = Record::default();
        for (name, cell) in self.columns.iter().zip(&self.record) {
            let Some(name) = name else { continue };
            match str::from_utf8(cell) {
                Ok("" | "\\N") => {}
                Ok(EMPTY) => record.set(name, ""),
                Ok(text) => record.set(name, text),
                Err(_) => return Err(format!("Invalid value for field: {name}: {name} must be in UTF-8")),
            }
        }
        record.into_event(now).map_err(|refusal| reason(&refusal))
    }

    /// Returns the `id` of the row.
    fn id(&self) -> Option<u64> {
        let at = self.columns.iter().position(|name| name.as_deref() == Some("id"))?;
        str::from_utf8(self.record.get(at)?).ok()?.parse().ok()
    }
}

/// Rows of NDJSON.
pub(super) struct Lines {
    bytes: Box<dyn BufRead + Send>,
    line: Vec<u8>,
    number: u64,
}

impl Lines {
    fn next(&mut self, now: Now) -> Result<Option<Row>, InputError> {
        loop {
            self.line.clear();
            let limit = MAX_LINE as u64 + 1;
            let read = self.bytes.by_ref().take(limit).read_until(b'\n', &mut self.line)?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            let line = self.number;
            let refused = |reason: String| RefusedRow { line, reason };
            if read > MAX_LINE && self.line.last() != Some(&b'\n') {
                self.skip_line()?;
                let reason = format!("The line must not exceed {} KiB", MAX_LINE / 1024);
                return Ok(Some(Err(refused(reason))));
            }
            if self.line.trim_ascii().is_empty() {
                continue;
            }
            let told = Record::parse(&self.line).and_then(|record| record.into_event(now));
            return Ok(Some(match told {
                Ok(told) => Ok((line, told)),
                // It is told by its line already.
                Err(Refusal::NotJson { column, .. }) => {
                    Err(refused(format!("Invalid JSON: the line is not valid JSON at column {column}")))
                }
                Err(refusal) => Err(refused(reason(&refusal))),
            }));
        }
    }

    /// Skips the rest of a line.
    fn skip_line(&mut self) -> Result<(), InputError> {
        loop {
            let part = self.bytes.fill_buf()?;
            let (skipped, is_end) = match part.iter().position(|byte| *byte == b'\n') {
                Some(end) => (end + 1, true),
                None => (part.len(), part.is_empty()),
            };
            self.bytes.consume(skipped);
            if is_end {
                return Ok(());
            }
        }
    }
}
