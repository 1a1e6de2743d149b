//! Imports events of another database, or of an export, while the service runs or not.
//!
//! A thread reads the rows and makes events of them (`rows.rs`), in chunks; each chunk is one transaction (`write.rs`), on Postgres two at a
//! time. An event is named by its row, so a second import of the same rows finds all of them known: that is also how an import that
//! was interrupted goes on.

mod empty_marks;
mod input;
mod merge;
mod reader;
mod refused;
mod rows;
mod run;
mod write;

pub use input::{Format, Input, InputError, send_table};
pub use refused::RefusedFile;
pub use run::{Failure, Observer, Run};

use chrono::{DateTime, Utc};

/// What was done with the rows of an import.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rows that were read.
    pub read: u64,
    /// Rows that are stored and counted now.
    pub stored: u64,
    /// Rows that are counted and not kept, because they are beyond the retention period.
    pub old: u64,
    /// Rows that are counted and not kept, without consent or because their customer was erased.
    pub unkept: u64,
    /// Rows that were stored or counted before.
    pub known: u64,
    /// Rows that are refused.
    pub refused: u64,
    /// Labels that had a contact in them and were replaced.
    pub redacted: u64,
}

impl Tally {
    /// Returns what both did.
    #[must_use]
    pub const fn and(self, more: Self) -> Self {
        Self {
            read: self.read + more.read,
            stored: self.stored + more.stored,
            old: self.old + more.old,
            unkept: self.unkept + more.unkept,
            known: self.known + more.known,
            refused: self.refused + more.refused,
            redacted: self.redacted + more.redacted,
        }
    }

    /// Returns the rows with whom something was done.
    #[must_use]
    pub const fn done(&self) -> u64 {
        self.stored + self.old + self.unkept + self.known + self.refused
    }
}

/// How far an import is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// What was done so far.
    pub tally: Tally,
    /// How much of the input that took: bytes of a file, or rows of a table.
    pub position: u64,
    /// Whether all rows are stored, and the facts about their conversations are being built.
    pub is_digesting: bool,
}

/// A row that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RefusedRow {
    /// Its line in the file, or its `id` in the table.
    line: u64,
    /// Why, in the words of `POST /track`; nothing of what the row says.
    reason: String,
}

/// The time of the import, which rows must not be later than.
type Now = DateTime<Utc>;
