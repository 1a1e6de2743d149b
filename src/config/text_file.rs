//! Reads files that settings name.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use chrono::{DateTime, NaiveDate, Utc};

/// Reads the file at `path`, of at most `max_bytes` of UTF-8. Returns its text and the day, in UTC, on which it was changed.
pub(super) fn read(path: &Path, max_bytes: u64) -> Result<(String, NaiveDate), String> {
    let unreadable = |error: std::io::Error| format!("names a file that cannot be read: {error}");
    let file = File::open(path).map_err(unreadable)?;
    let changed = file.metadata().and_then(|metadata| metadata.modified()).map_err(unreadable)?;
    let mut text = String::new();
    file.take(max_bytes + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > max_bytes {
        return Err(format!("names a file larger than {} KiB", max_bytes / 1024));
    }
    Ok((text, DateTime::<Utc>::from(changed).date_naive()))
}
