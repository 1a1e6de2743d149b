//! The profiles of all businesses, and the copy of them in memory.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Timelike, Utc};
use chrono_tz::Tz;
use parking_lot::RwLock;

use super::hours::OpeningHours;

/// What is known about a business. What is `None` is set neither here nor in the receptionist app's tables.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Profile {
    /// Its name, as people call it.
    pub name: Option<String>,
    /// Its time zone.
    pub time_zone: Option<Tz>,
    /// When it is open.
    pub opening_hours: Option<OpeningHours>,
    /// What its answers may cost in a calendar month, in millionths of a US dollar.
    pub monthly_budget_micros: Option<i64>,
}

/// The profiles of all businesses, as of one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Profiles {
    zone: Tz,
    profiles: HashMap<String, Profile>,
}

impl Profiles {
    /// Creates profiles. Businesses without a time zone of their own are in `zone`.
    #[must_use]
    pub const fn new(zone: Tz, profiles: HashMap<String, Profile>) -> Self {
        Self { zone, profiles }
    }

    /// Creates profiles of which there are none yet: every business is in `zone`.
    #[must_use]
    pub fn in_zone(zone: Tz) -> Self {
        Self::new(zone, HashMap::new())
    }

    /// Returns the time zone of businesses without one of their own.
    #[must_use]
    pub const fn default_zone(&self) -> Tz {
        self.zone
    }

    /// Returns the profile of a business; `None` if nothing is known about it.
    #[must_use]
    pub fn get(&self, business_id: &str) -> Option<&Profile> {
        self.profiles.get(business_id)
    }

    /// Returns all profiles, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Profile)> {
        self.profiles.iter().map(|(business_id, profile)| (business_id.as_str(), profile))
    }

    /// Returns the time zone of a business.
    #[must_use]
    pub fn zone(&self, business_id: &str) -> Tz {
        self.get(business_id).and_then(|profile| profile.time_zone).unwrap_or(self.zone)
    }

    /// Returns the calendar day of `at` in the time zone of a business.
    #[must_use]
    pub fn day(&self, business_id: &str, at: DateTime<Utc>) -> NaiveDate {
        at.with_timezone(&self.zone(business_id)).date_naive()
    }

    /// Returns the hour of the day, from 0 to 23, of `at` in the time zone of a business.
    #[must_use]
    pub fn hour(&self, business_id: &str, at: DateTime<Utc>) -> u8 {
        let hour = at.with_timezone(&self.zone(business_id)).hour();
        u8::try_from(hour).expect("a day has at most 24 hours")
    }

    /// Returns whether a business is open at `at`; `None` if its opening hours are not known.
    #[must_use]
    pub fn is_open(&self, business_id: &str, at: DateTime<Utc>) -> Option<bool> {
        let hours = self.get(business_id)?.opening_hours.as_ref()?;
        Some(hours.contains(at.with_timezone(&self.zone(business_id)).naive_local()))
    }
}

/// The copy of the profiles in memory, which is replaced as a whole.
#[derive(Debug, Clone)]
pub struct ProfileCache(Arc<RwLock<Arc<Profiles>>>);

impl ProfileCache {
    /// Creates a cache of no profiles.
    #[must_use]
    pub fn new(zone: Tz) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(Profiles::in_zone(zone)))))
    }

    /// Returns the profiles as last read.
    #[must_use]
    pub fn current(&self) -> Arc<Profiles> {
        self.0.read().clone()
    }

    /// Replaces the profiles.
    pub fn replace(&self, profiles: Profiles) {
        *self.0.write() = Arc::new(profiles);
    }
}
