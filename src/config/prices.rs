//! The operator's file of prices.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Config, Problems, Setting, text_file};
use crate::pricing::{PriceError, Prices};

/// The maximum size of the file, in bytes: many times that of the built-in table.
const MAX_BYTES: u64 = 1024 * 1024;

/// The maximum number of rows that are reported as wrong.
const MAX_REPORTED: usize = 50;

/// A file of prices, read together with the settings.
#[derive(Debug, Clone)]
pub struct PricesFile {
    /// Its path.
    pub path: PathBuf,
    /// The built-in table with its rows, or what is wrong with them.
    prices: Result<Arc<Prices>, Vec<PriceError>>,
}

impl Setting for PricesFile {
    const SHOWN: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        let (rows, _) = text_file::read(Path::new(text), MAX_BYTES)?;
        Ok(Self { path: text.into(), prices: Prices::parse(Some(&rows)).map(Arc::new) })
    }
}

impl Config {
    /// Returns the price table: the built-in one, with the rows of `PRICES_FILE` if it is set.
    #[must_use]
    pub fn prices(&self) -> Arc<Prices> {
        let own = self.prices_file.as_ref().and_then(|file| file.prices.as_ref().ok());
        own.map_or_else(Prices::built_in, Arc::clone)
    }
}

/// Adds a problem for everything that is wrong with the rows of the file.
pub(super) fn check(config: &Config, problems: &mut Problems) {
    let Some(PricesFile { path, prices: Err(errors) }) = &config.prices_file else { return };
    let path = path.display();
    for PriceError { line, reason } in errors.iter().take(MAX_REPORTED) {
        problems.add(&format!("{path}: line {line}:"), format!("{reason} (PRICES_FILE)"), "");
    }
    if let Some(more) = errors.len().checked_sub(MAX_REPORTED).filter(|more| *more > 0) {
        problems.add(&format!("{path}:"), format!("{more} more rows are wrong (PRICES_FILE)"), "");
    }
}
