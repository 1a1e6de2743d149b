//! The tiers of API keys.

use std::collections::BTreeMap;

use super::{Limit, Problems, Setting, Source, VARIABLES};
use crate::quota::Quota;

/// The prefix of the variables.
pub(super) const PREFIX: &str = "TIER_";

/// The name shown for keys without a tier.
const STANDARD: &str = "standard";

/// The quotas of the tiers, by lower-case name.
#[derive(Debug, Clone, Default)]
pub struct Tiers(BTreeMap<String, Limit<Quota>>);

impl Tiers {
    /// Reads the tiers: those with a documented variable, and any other whose variable is set.
    pub(super) fn read(source: &Source, problems: &mut Problems) -> Self {
        // Problems with these are reported when they are read as settings.
        let documented = VARIABLES.iter().filter_map(|variable| {
            Some((tier(variable.name)?, source.get(variable, &mut Problems::default())))
        });
        let mut tiers: BTreeMap<_, _> = documented.collect();
        for (name, text) in source.with_prefix(PREFIX) {
            let Some(tier) = tier(name) else { continue };
            match Limit::read(text) {
                _ if tier == STANDARD => {
                    problems.add(name, "is not configurable: this tier uses the route's own quota", "");
                }
                Ok(quota) => drop(tiers.entry(tier).or_insert(quota)),
                Err(_) if tiers.contains_key(&tier) => {}
                Err(what) => problems.add(name, what, "1000 per day"),
            }
        }
        Self(tiers)
    }

    /// Returns the quota of the tier `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Limit<Quota>> {
        self.0.get(name)
    }

    /// Iterates over the quotas of all tiers, by the names of their variables.
    pub fn quotas(&self) -> impl Iterator<Item = (String, &Limit<Quota>)> {
        self.0.iter().map(|(name, quota)| (format!("{PREFIX}{}", name.to_ascii_uppercase()), quota))
    }

    /// Iterates over the names of all tiers.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

fn tier(variable: &str) -> Option<String> {
    let name = variable.strip_prefix(PREFIX).filter(|name| !name.is_empty())?;
    Some(name.to_ascii_lowercase())
}
