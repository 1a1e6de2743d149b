//! What a key allows.

use std::fmt;
use std::str::FromStr;

use strum::VariantArray;

/// A part of the service that a key may grant access to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray)]
pub enum Scope {
    /// Reporting events.
    Track,
    /// Reading the analytics of a business.
    Analytics,
    /// Reloading the totals.
    Refresh,
    /// Exporting and erasing personal data, and recording requests and consents.
    Privacy,
    /// Managing keys and reading the audit trail.
    Admin,
}

impl Scope {
    /// Returns the name of the scope.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Track => "track",
            Self::Analytics => "analytics",
            Self::Refresh => "refresh",
            Self::Privacy => "privacy",
            Self::Admin => "admin",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The error of parsing a [`Scope`] from any other text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("scopes are track, analytics, refresh, privacy and admin")]
pub struct NoScope;

impl FromStr for Scope {
    type Err = NoScope;

    fn from_str(text: &str) -> Result<Self, NoScope> {
        Self::VARIANTS.iter().copied().find(|scope| scope.name() == text).ok_or(NoScope)
    }
}

/// A set of scopes. Its text is their names, separated by spaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// Returns the set of all scopes.
    #[must_use]
    pub fn all() -> Self {
        Scope::VARIANTS.iter().copied().collect()
    }

    /// Returns the scopes that a key or token bound to one business may have.
    #[must_use]
    pub fn of_one_business() -> Self {
        [Scope::Track, Scope::Analytics, Scope::Privacy].into_iter().collect()
    }

    /// Returns whether the set contains `scope`.
    #[must_use]
    pub const fn contains(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Returns the scopes that are in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Returns whether the set is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Iterates over the scopes, in the order of [`Scope`].
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::VARIANTS.iter().copied().filter(move |scope| self.contains(*scope))
    }

    /// Returns the scopes named in `words`. Others are ignored: they may mean something to another service.
    pub fn from_words<'a>(words: impl Iterator<Item = &'a str>) -> Self {
        words.filter_map(|word| word.parse::<Scope>().ok()).collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(Scope::name).collect();
        f.write_str(&names.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_contains_the_parsed_scopes_and_displays_them() {
        let scopes = Scopes::from_words("analytics track openid".split(' '));
        assert_eq!(scopes.to_string(), "track analytics");
        assert!(scopes.contains(Scope::Track) && !scopes.contains(Scope::Admin));
        assert_eq!(scopes.and(Scopes::all()), scopes);
        assert!(scopes.and([Scope::Admin].into_iter().collect()).is_empty());
        assert_eq!(Scopes::all().iter().count(), 5);
    }
}
