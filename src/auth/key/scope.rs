//! What a key allows.

use std::fmt;
use std::str::FromStr;

/// A part of the service that a key may open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Report events.
    Track,
    /// Read what the events of a business add up to.
    Analytics,
    /// Have the totals read anew.
    Refresh,
    /// Do what the law asks for a customer's data.
    Privacy,
    /// Manage keys.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 5] = [Self::Track, Self::Analytics, Self::Refresh, Self::Privacy, Self::Admin];

    /// Its name.
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

/// The word is no scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("scopes are track, analytics, refresh, privacy and admin")]
pub struct NoScope;

impl FromStr for Scope {
    type Err = NoScope;

    fn from_str(text: &str) -> Result<Self, NoScope> {
        Self::ALL.into_iter().find(|scope| scope.name() == text).ok_or(NoScope)
    }
}

/// A set of scopes. Its text is their names, with a space in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// All of them.
    #[must_use]
    pub fn all() -> Self {
        Scope::ALL.into_iter().collect()
    }

    /// What concerns one business alone, and so is all that a credential bound to one may have.
    #[must_use]
    pub fn of_one_business() -> Self {
        [Scope::Track, Scope::Analytics].into_iter().collect()
    }

    /// Whether `scope` is one of them.
    #[must_use]
    pub const fn contains(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Those that are in `other` too.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The scopes, in the order of [`Scope::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }

    /// The scopes among `words`; others, which mean something to others, are passed over.
    pub fn among<'a>(words: impl Iterator<Item = &'a str>) -> Self {
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
    fn a_set_holds_what_was_put_in_and_tells_it() {
        let scopes = Scopes::among("analytics track openid".split(' '));
        assert_eq!(scopes.to_string(), "track analytics");
        assert!(scopes.contains(Scope::Track) && !scopes.contains(Scope::Admin));
        assert_eq!(scopes.and(Scopes::all()), scopes);
        assert!(scopes.and([Scope::Admin].into_iter().collect()).is_empty());
        assert_eq!(Scopes::all().iter().count(), 5);
    }
}
