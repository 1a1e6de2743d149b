//! Everything that is stored about a person as one ZIP file: the JSON document and a CSV file for each category.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::csv;
use super::document::Document;

/// Writes the archive.
pub fn write(document: &Document) -> Result<Vec<u8>, String> {
    let told = |error: &dyn std::error::Error| format!("the archive cannot be written: {error}");
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let mut add = |name: String, bytes: &[u8]| -> Result<(), String> {
        zip.start_file(name, options).map_err(|error| told(&error))?;
        zip.write_all(bytes).map_err(|error| told(&error))
    };
    add("data.json".to_owned(), &document.to_json())?;
    for section in document.sections() {
        let sheet = csv::write(&section.columns, section.rows).map_err(|error| told(&error))?;
        add(format!("{}.csv", section.name()), &sheet)?;
    }
    let written = zip.finish().map_err(|error| told(&error))?;
    Ok(written.into_inner())
}
