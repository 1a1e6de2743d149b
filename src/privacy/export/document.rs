//! An export as one JSON document.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::clock::timestamp;
use crate::event::Event;
use crate::privacy::Remarks;
use crate::privacy::purpose::{Category, RetentionPeriods, SPOOL};
use crate::store::{Extract, Mentions};

/// The data stored about one person.
#[derive(Debug)]
pub struct Document {
    /// When it was generated.
    pub generated_at: DateTime<Utc>,
    /// The id of the receipt.
    pub receipt: String,
    /// The kind of the selector: `email`, `phone`, `conversation_id` or `session_id`.
    pub found_by: &'static str,
    /// The rows in the store.
    pub tables: Vec<Extract>,
    /// The events in the spool.
    pub spooled: SpooledEvents,
    /// What else there is to know.
    pub remarks: Remarks,
    /// How long rows are kept.
    pub retention: RetentionPeriods,
}

/// Events in the spool, as they were reported.
#[derive(Debug)]
pub struct SpooledEvents(Vec<Box<RawValue>>);

impl SpooledEvents {
    /// Converts events to reports.
    #[must_use]
    pub fn of(events: &[Event]) -> Self {
        let report = |event: &Event| to_raw_value(&event.report()).expect("a report is JSON");
        Self(events.iter().map(report).collect())
    }

    /// Returns the fields of a report.
    fn columns(&self) -> Vec<String> {
        let first = self.0.first().and_then(|row| serde_json::from_str::<serde_json::Value>(row.get()).ok());
        first.and_then(|row| Some(row.as_object()?.keys().cloned().collect())).unwrap_or_default()
    }
}

/// One category of data, as it is serialised.
#[derive(Debug, Serialize)]
pub struct Section<'d> {
    category: &'static str,
    table: &'static str,
    what: &'static str,
    why: &'static str,
    lawful_basis: &'static str,
    kept_until: String,
    count: usize,
    /// The rows, with every column.
    pub rows: &'d [Box<RawValue>],
    /// The columns, in order.
    #[serde(skip)]
    pub columns: Vec<String>,
}

impl Section<'_> {
    /// Returns the name of the category.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.category
    }
}

/// Rows of a table that are listed by their ids.
#[derive(Debug, Serialize)]
pub struct ListedRows {
    table: &'static str,
    /// The number of rows.
    rows: u64,
    /// Their ids, or the first of them.
    ids: Vec<String>,
}

impl ListedRows {
    /// Returns the rows that mention a person.
    #[must_use]
    pub fn mentioned(mentions: Mentions) -> Vec<Self> {
        mentions.found.into_iter().map(|(table, rows, ids)| Self { table, rows, ids }).collect()
    }

    /// Returns the rows that may be a person's.
    #[must_use]
    pub fn undecided(rows: Vec<(&'static str, Vec<String>)>) -> Vec<Self> {
        rows.into_iter().map(|(table, ids)| Self { table, rows: ids.len() as u64, ids }).collect()
    }
}

/// The document, as it is serialised.
#[derive(Debug, Serialize)]
struct Serialized<'d> {
    generated_at: String,
    receipt_id: &'d str,
    found_by: &'static str,
    about: &'static str,
    categories: Vec<Section<'d>>,
    businesses: &'d [String],
    /// Rows of others that mention the person.
    mentioned: Vec<ListedRows>,
    /// Rows that may be the person's.
    undecided: Vec<ListedRows>,
    not_searched: &'d [String],
}

impl Document {
    /// Returns the categories; that of the spool only if it has events.
    #[must_use]
    pub fn sections(&self) -> Vec<Section<'_>> {
        let of_table = |extract: &'_ Extract| {
            let Category { name, what, why, lawful_basis } = Category::of(extract.table);
            (name, extract.table.name(), what, why, lawful_basis, self.retention.until(extract.table))
        };
        let mut sections: Vec<Section<'_>> = Vec::with_capacity(self.tables.len() + 1);
        for extract in &self.tables {
            let (category, table, what, why, lawful_basis, kept_until) = of_table(extract);
            let (rows, columns) = (extract.rows.as_slice(), extract.columns.clone());
            let count = rows.len();
            sections.push(Section {
                category,
                table,
                what,
                why,
                lawful_basis,
                kept_until,
                count,
                rows,
                columns,
            });
        }
        if !self.spooled.0.is_empty() {
            let Category { name, what, why, lawful_basis } = SPOOL;
            sections.push(Section {
                category: name,
                table: "spool",
                what,
                why,
                lawful_basis,
                kept_until: "Until they are stored in the database".to_owned(),
                count: self.spooled.0.len(),
                rows: &self.spooled.0,
                columns: self.spooled.columns(),
            });
        }
        sections
    }

    /// Returns the document as JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let document = Serialized {
            generated_at: timestamp(self.generated_at),
            receipt_id: &self.receipt,
            found_by: self.found_by,
            about: "A copy of the data stored about one person (Articles 15 and 20 GDPR), by table",
            categories: self.sections(),
            businesses: &self.remarks.businesses,
            mentioned: ListedRows::mentioned(self.remarks.mentions.clone()),
            undecided: ListedRows::undecided(self.remarks.undecided.clone()),
            not_searched: &self.remarks.not_searched,
        };
        serde_json::to_vec(&document).expect("strings, numbers and JSON serialise")
    }
}
