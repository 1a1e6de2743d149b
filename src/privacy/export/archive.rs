//! An export as one ZIP file: a text that explains it, the JSON document and a CSV file for each category.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::csv;
use super::document::Document;
use super::readme;

/// Creates the archive. Returns an error message if that fails.
pub fn write(document: &Document) -> Result<Vec<u8>, String> {
    let describe = |error: &dyn std::error::Error| format!("cannot write the archive: {error}");
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let mut add = |name: String, bytes: &[u8]| -> Result<(), String> {
        zip.start_file(name, options).map_err(|error| describe(&error))?;
        zip.write_all(bytes).map_err(|error| describe(&error))
    };
    add("README.txt".to_owned(), readme::write(document).map_err(|error| describe(&error))?.as_bytes())?;
    add("data.json".to_owned(), &document.to_json())?;
    for section in document.sections() {
        let sheet = csv::write(&section.columns, section.rows).map_err(|error| describe(&error))?;
        add(format!("{}.csv", section.category), &sheet)?;
    }
    let written = zip.finish().map_err(|error| describe(&error))?;
    Ok(written.into_inner())
}
