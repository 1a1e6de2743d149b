//! Numbered placeholders for the parameters of a statement.

/// Numbers parameters in the order in which they are bound.
#[derive(Debug, Default)]
pub(super) struct Placeholders(usize);

impl Placeholders {
    /// Returns the placeholder of the next parameter, such as `$3`.
    pub(super) fn one(&mut self) -> String {
        self.0 += 1;
        format!("${}", self.0)
    }

    /// Returns the placeholders of the next `count` parameters, separated by commas.
    pub(super) fn list(&mut self, count: usize) -> String {
        (0..count).map(|_| self.one()).collect::<Vec<_>>().join(", ")
    }

    /// Returns the placeholders of the next parameters, each cast to its type, separated by commas.
    pub(super) fn typed(&mut self, types: impl Iterator<Item = &'static str>) -> String {
        types.map(|of| format!("{}::{of}", self.one())).collect::<Vec<_>>().join(", ")
    }
}
