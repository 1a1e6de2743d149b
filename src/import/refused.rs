//! The file of the rows that are refused: their lines, and why. Nothing of what they say is in it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::RefusedRow;
use crate::owned_file;

/// The file, which is created when the first row is refused. Only its owner may read it.
#[derive(Debug)]
pub struct RefusedFile {
    path: PathBuf,
    /// What its first column holds: `line`, or `id` of rows of a table.
    named_by: &'static str,
    file: Option<BufWriter<File>>,
}

impl RefusedFile {
    /// Creates nothing yet.
    #[must_use]
    pub const fn new(path: PathBuf, named_by: &'static str) -> Self {
        Self { path, named_by, file: None }
    }

    /// Returns its path, if there is a row in it.
    #[must_use]
    pub fn written(&self) -> Option<&PathBuf> {
        self.file.as_ref().map(|_| &self.path)
    }

    /// Adds rows.
    pub(super) fn add(&mut self, rows: &[RefusedRow]) -> io::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            empty => empty.insert(create(&self.path, self.named_by)?),
        };
        let mut lines = csv::Writer::from_writer(file);
        for RefusedRow { line, reason } in rows {
            lines.write_record([&line.to_string(), reason])?;
        }
        lines.flush()
    }

    /// Writes what is still in memory.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

fn create(path: &Path, named_by: &str) -> io::Result<BufWriter<File>> {
    let mut file = BufWriter::new(owned_file::create(path)?);
    writeln!(file, "{named_by},reason")?;
    Ok(file)
}
