//! The copy of the profiles in memory.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono_tz::Tz;
use parking_lot::RwLock;

use super::profile::Profiles;

/// The copy of the profiles in memory, which is replaced as a whole.
#[derive(Debug, Clone)]
pub struct ProfileCache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The profiles, and the number of the reading that they come from.
    cached: RwLock<(u64, Arc<Profiles>)>,
    /// The number of the last reading that began.
    readings: AtomicU64,
}

/// A reading of the profiles that has begun.
#[derive(Debug)]
#[must_use]
pub struct Reading(u64);

impl ProfileCache {
    /// Creates a cache of no profiles.
    #[must_use]
    pub fn new(zone: Tz) -> Self {
        let cached = RwLock::new((0, Arc::new(Profiles::in_zone(zone))));
        Self(Arc::new(Inner { cached, readings: AtomicU64::new(0) }))
    }

    /// Returns the profiles as last read.
    #[must_use]
    pub fn current(&self) -> Arc<Profiles> {
        self.0.cached.read().1.clone()
    }

    /// Must be called before the profiles are read for [`ProfileCache::replace_read`].
    pub fn begin_reading(&self) -> Reading {
        Reading(self.0.readings.fetch_add(1, Ordering::SeqCst) + 1)
    }

    /// Replaces the profiles with what a reading found, unless a later one has: that may have seen a change which this one has not.
    /// Returns the profiles before.
    #[must_use]
    pub fn replace_read(&self, reading: &Reading, profiles: Profiles) -> Arc<Profiles> {
        let mut cached = self.0.cached.write();
        if cached.0 > reading.0 {
            return cached.1.clone();
        }
        mem::replace(&mut *cached, (reading.0, Arc::new(profiles))).1
    }

    /// Replaces the profiles.
    pub fn replace(&self, profiles: Profiles) {
        let reading = self.begin_reading();
        drop(self.replace_read(&reading, profiles));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_a_change_does_not_undo_it() {
        let cache = ProfileCache::new(Tz::UTC);
        let (slow, fast) = (cache.begin_reading(), cache.begin_reading());
        drop(cache.replace_read(&fast, Profiles::in_zone(Tz::Asia__Kathmandu)));
        drop(cache.replace_read(&slow, Profiles::in_zone(Tz::Europe__Berlin)));
        assert_eq!(cache.current().default_zone(), Tz::Asia__Kathmandu);
        cache.replace(Profiles::in_zone(Tz::Europe__Berlin));
        assert_eq!(cache.current().default_zone(), Tz::Europe__Berlin);
    }
}
