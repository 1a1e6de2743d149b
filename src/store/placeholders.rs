//! The placeholders of a statement's parameters.

/// Numbers parameters in the order in which they are bound.
#[derive(Debug, Default)]
pub(super) struct Placeholders(usize);

impl Placeholders {
    /// Returns the placeholder of the next parameter, such as `$3`.
    pub(super) fn one(&mut self) -> String {
        self.0 += 1;
        format!("${}", self.0)
    }

    /// Returns those of the next `count` parameters, separated by commas.
    pub(super) fn list(&mut self, count: usize) -> String {
        (0..count).map(|_| self.one()).collect::<Vec<_>>().join(", ")
    }

    /// Returns those of the next parameters, each with its type, separated by commas.
    pub(super) fn typed(&mut self, types: impl Iterator<Item = &'static str>) -> String {
        types.map(|of| format!("{}::{of}", self.one())).collect::<Vec<_>>().join(", ")
    }
}
