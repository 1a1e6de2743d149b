//! Figures of closed days in memory: those of a year take long to read and hardly ever change.

use std::fmt;
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::{DayRange, Figures};

/// The memory that the figures may take, in bytes.
const CAPACITY: u64 = 32 << 20;

/// The number of figures that are expected.
const EXPECTED: usize = 1_000;

/// What figures are of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) business_id: String,
    pub(super) days: DayRange,
    /// What they have.
    pub(super) what: Content,
}

/// What figures have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Content {
    /// All that there is.
    All,
    /// The sums of days alone.
    Days,
    /// What the costliest models cost each day.
    Models,
    /// What each business cost, without any other figure.
    CostsOfAll,
    /// Response times, and the sums over answers of all days together, on the last of them.
    Listed,
}

#[derive(Clone)]
struct Cached {
    figures: Arc<Figures>,
    mark: String,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Key, Cached> for Weight {
    fn weight(&self, key: &Key, cached: &Cached) -> u64 {
        (size_of::<Key>() + size_of::<Cached>() + key.business_id.len() + cached.mark.len()) as u64
            + cached.figures.weight()
    }
}

/// The figures of closed days that were read last.
#[derive(Clone)]
pub(in crate::store) struct FiguresCache(Arc<Cache<Key, Cached, Weight>>);

impl FiguresCache {
    /// Creates an empty cache.
    pub(in crate::store) fn new() -> Self {
        Self(Arc::new(Cache::with_weighter(EXPECTED, CAPACITY, Weight)))
    }

    /// Returns figures that were read while the store had this `mark`.
    pub(super) fn get(&self, key: &Key, mark: &str) -> Option<Arc<Figures>> {
        let cached = self.0.get(key)?;
        (cached.mark == mark).then_some(cached.figures)
    }

    /// Keeps figures for later.
    pub(super) fn put(&self, key: Key, mark: String, figures: Arc<Figures>) {
        self.0.insert(key, Cached { figures, mark });
    }
}

impl fmt::Debug for FiguresCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FiguresCache")
    }
}

#[cfg(test)]
mod tests {
    use chrono::{Days, NaiveDate};

    use super::*;

    #[test]
    fn figures_are_used_while_the_mark_is_the_same() {
        let (cache, day) = (FiguresCache::new(), NaiveDate::default());
        let key =
            |to| Key { business_id: "acme".to_owned(), days: DayRange { from: day, to }, what: Content::All };
        cache.put(key(day), "1".to_owned(), Arc::new(Figures::default()));
        let hit = |key: &Key, mark: &str| cache.get(key, mark).is_some();
        assert!(hit(&key(day), "1"));
        assert!(!hit(&key(day), "2"), "changed");
        assert!(!hit(&key(day + Days::new(1)), "1"), "other days");
    }

    #[test]
    fn the_memory_is_bounded() {
        let (cache, day) = (FiguresCache::new(), NaiveDate::default());
        let days = DayRange { from: day, to: day };
        let figures = Arc::new(Figures {
            response_types: (0..1_000).map(|n| (format!("type-{n}"), n)).collect(),
            ..Figures::default()
        });
        for n in 0..2_000 {
            let key = Key { business_id: n.to_string(), days, what: Content::All };
            cache.put(key, String::new(), figures.clone());
        }
        assert!(figures.weight() > 64_000);
        assert!(cache.0.weight() <= CAPACITY && !cache.0.is_empty());
    }
}
