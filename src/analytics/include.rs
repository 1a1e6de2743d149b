//! The parts of an answer that a request may ask for.

use std::collections::BTreeSet;

use strum::{IntoStaticStr, VariantArray};

/// A part of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Part {
    /// Conversations, and rates of them.
    Conversations,
    /// Each day.
    Series,
    /// Each hour of the week.
    Hours,
    /// Percentiles of response times.
    Percentiles,
    /// Each model.
    ByModel,
    /// Each intent.
    ByIntent,
    /// Each response type.
    ByResponseType,
    /// From conversations to kept appointments.
    Funnel,
    /// Costs and the budget.
    Cost,
    /// The period before, and what changed.
    Previous,
    /// How far the figures can be trusted.
    Quality,
}

impl Part {
    /// Returns its name in requests and answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The parts that a request asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Includes(BTreeSet<Part>);

/// A request asks for a part that there is not. Its text lists those there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownPart;

impl std::fmt::Display for UnknownPart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = Part::VARIANTS.iter().map(|part| part.name()).collect();
        write!(f, "must be any of {}, separated by commas", names.join(", "))
    }
}

impl Includes {
    /// Parses names separated by commas; an empty text names none.
    pub fn read(text: &str) -> Result<Self, UnknownPart> {
        let names = text.split(',').map(str::trim).filter(|_| !text.trim().is_empty());
        let part = |name| Part::VARIANTS.iter().copied().find(|part| part.name() == name).ok_or(UnknownPart);
        names.map(part).collect::<Result<_, _>>().map(Self)
    }

    /// Returns whether a part is among them.
    #[must_use]
    pub fn has(&self, part: Part) -> bool {
        self.0.contains(&part)
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Part> for Includes {
    fn from_iter<I: IntoIterator<Item = Part>>(parts: I) -> Self {
        Self(parts.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_named_any_number_of_times() {
        assert_eq!(Includes::read(""), Ok(Includes::default()));
        let both = [Part::Series, Part::ByModel].into_iter().collect();
        assert_eq!(Includes::read("by_model, series,by_model"), Ok(both));
        let all: Vec<&str> = Part::VARIANTS.iter().map(|part| part.name()).collect();
        assert_eq!(Includes::read(&all.join(",")), Ok(Part::VARIANTS.iter().copied().collect()));
        for unknown in ["x", "series,x", "series,", ",", "Series"] {
            assert_eq!(Includes::read(unknown), Err(UnknownPart), "{unknown}");
        }
        let told = UnknownPart.to_string();
        assert!(all.iter().all(|name| told.contains(name)), "{told}");
    }
}
