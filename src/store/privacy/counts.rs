//! Numbers of rows by table.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// The number of rows by table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = HashMap<String, u64>)]
pub struct Counts(BTreeMap<&'static str, u64>);

impl Counts {
    /// Sets the number of rows of a table.
    pub fn set(&mut self, table: &'static str, rows: u64) {
        self.0.insert(table, rows);
    }

    /// Returns the number of rows of a table.
    #[must_use]
    pub fn of(&self, table: &str) -> u64 {
        self.0.get(table).copied().unwrap_or(0)
    }

    /// Returns the total number of rows.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Converts the counts to a JSON object.
    #[must_use]
    pub fn to_json(&self) -> Map<String, Value> {
        self.0.iter().map(|(table, rows)| ((*table).to_owned(), (*rows).into())).collect()
    }
}
