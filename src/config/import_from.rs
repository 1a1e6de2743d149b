//! Where `mlops-service import` reads from.

use std::path::PathBuf;

use super::{Config, PostgresUrl, Problems, Setting, Source};

/// What is imported.
#[derive(Debug, Clone)]
pub enum ImportFrom {
    /// Standard input.
    Standard,
    /// A file.
    File(PathBuf),
    /// The `ai_metrics` of a database.
    Postgres(PostgresUrl),
}

impl Setting for ImportFrom {
    const SECRET: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        match text {
            "-" => Ok(Self::Standard),
            url if url.contains("://") => {
                PostgresUrl::read(url).map(Self::Postgres).map_err(|what| format!("{what}, a file, or -"))
            }
            path => Ok(Self::File(path.into())),
        }
    }
}

impl Config {
    /// Reads all settings, of which `IMPORT_FROM` must be set. Returns all problems together.
    pub fn read_for_import(source: &Source) -> Result<Self, Problems> {
        const NAME: &str = "IMPORT_FROM";
        let read = Self::read(source);
        if source.with_prefix(NAME).next().is_some() {
            return read;
        }
        let mut problems = read.err().unwrap_or_default();
        problems.add(
            NAME,
            "must be set, or --from given: a file, -, or the URL of a database",
            "metrics.csv",
        );
        Err(problems)
    }
}
