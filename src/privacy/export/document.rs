//! An export as one JSON document.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;

use crate::clock::timestamp;
use crate::event::Event;
use crate::privacy::Remarks;
use crate::privacy::information::{
    AUTOMATED_DECISIONS, COMPLAINT, Controller, Information, RECIPIENTS, RIGHTS, Right,
};
use crate::privacy::purpose::{Category, SPOOL};
use crate::store::{Extract, ListedRows};

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
    /// The information that accompanies the data.
    pub information: Information,
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
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ExportCategory)]
pub struct Section<'d> {
    /// The name of the category.
    pub category: &'static str,
    table: &'static str,
    /// What it is.
    pub what: &'static str,
    /// Why it is stored.
    pub why: &'static str,
    /// The lawful basis.
    pub lawful_basis: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// How long it is kept, in words.
    pub kept_until: String,
    /// How many rows there are.
    pub count: usize,
    /// The rows, with every column.
    #[schema(value_type = Vec<Object>)]
    pub rows: &'d [Box<RawValue>],
    /// The columns, in order.
    #[serde(skip)]
    pub columns: Vec<String>,
}

/// The document, as it is serialised.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PersonExport)]
pub struct Serialized<'d> {
    #[schema(format = DateTime)]
    generated_at: String,
    receipt_id: &'d str,
    found_by: &'static str,
    about: &'static str,
    controller: &'d Controller,
    recipients: &'static str,
    rights: [Right; 7],
    complaint: Right,
    automated_decisions: &'static str,
    categories: Vec<Section<'d>>,
    businesses: &'d [String],
    /// Rows of others that mention the person.
    mentioned: &'d [ListedRows],
    /// Rows that may be the person's.
    undecided: &'d [ListedRows],
    not_searched: &'d [String],
}

impl Document {
    /// Returns the categories; that of the spool only if it has events.
    #[must_use]
    pub fn sections(&self) -> Vec<Section<'_>> {
        let tables = self.tables.iter().map(|Extract { table, columns, rows }| {
            self.section(Category::of(*table), table.name(), rows, columns.clone())
        });
        let spooled = self.spooled.0.as_slice();
        let spool = || self.section(SPOOL, "spool", spooled, self.spooled.columns());
        tables.chain((!spooled.is_empty()).then(spool)).collect()
    }

    fn section<'d>(
        &self,
        category: Category,
        table: &'static str,
        rows: &'d [Box<RawValue>],
        columns: Vec<String>,
    ) -> Section<'d> {
        let Category { name, what, kind } = category;
        Section {
            category: name,
            table,
            what,
            why: kind.why(),
            lawful_basis: self.information.lawful_basis(kind),
            source: kind.source(),
            kept_until: kind.kept_until(self.information.retention),
            count: rows.len(),
            rows,
            columns,
        }
    }

    /// Returns the document as JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let document = Serialized {
            generated_at: timestamp(self.generated_at),
            receipt_id: &self.receipt,
            found_by: self.found_by,
            about: "A copy of the data stored about one person (Articles 15 and 20 GDPR), by table",
            controller: &self.information.controller,
            recipients: RECIPIENTS,
            rights: RIGHTS,
            complaint: COMPLAINT,
            automated_decisions: AUTOMATED_DECISIONS,
            categories: self.sections(),
            businesses: &self.remarks.businesses,
            mentioned: &self.remarks.mentioned,
            undecided: &self.remarks.undecided,
            not_searched: &self.remarks.not_searched,
        };
        serde_json::to_vec(&document).expect("strings, numbers and JSON serialise")
    }
}
