//! The profile of a business, from what is set here and what the receptionist app's tables have, and the profiles of all.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Timelike, Utc};
use chrono_tz::Tz;

use super::change::{ProfileField, is_name};
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
    /// What comes from the app's tables.
    pub from_app: FromApp,
}

/// Which values of a profile come from the receptionist app's tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FromApp {
    /// Whether the name does.
    pub name: bool,
    /// Whether the opening hours do.
    pub opening_hours: bool,
}

impl FromApp {
    /// Returns the fields of these values.
    pub fn fields(self) -> impl Iterator<Item = ProfileField> {
        let name = self.name.then_some(ProfileField::Name);
        name.into_iter().chain(self.opening_hours.then_some(ProfileField::OpeningHours))
    }
}

/// What is set here, as it is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnProfile {
    /// See [`Profile::name`].
    pub name: Option<String>,
    /// The IANA name of [`Profile::time_zone`].
    pub time_zone: Option<String>,
    /// [`Profile::opening_hours`] as JSON.
    pub opening_hours: Option<String>,
    /// See [`Profile::monthly_budget_micros`].
    pub monthly_budget_micros: Option<i64>,
}

/// What the receptionist app's tables have about a business.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppProfile {
    /// See [`Profile::name`].
    pub name: Option<String>,
    /// See [`Profile::opening_hours`].
    pub opening_hours: Option<OpeningHours>,
}

impl AppProfile {
    /// Sets the name, unless it is none.
    pub fn set_name(&mut self, name: String) {
        self.name = Some(name).filter(|name| is_name(name));
    }
}

impl Profile {
    /// Merges what is set here with what the app's tables have. Returns also whether all that is set could be read; what could not
    /// counts as not set.
    #[must_use]
    pub fn merged(own: OwnProfile, app: AppProfile) -> (Self, bool) {
        let time_zone = own.time_zone.map(|name| name.parse().ok());
        let opening_hours = own.opening_hours.map(|json| OpeningHours::parse(&json).ok());
        let is_readable = time_zone != Some(None) && opening_hours != Some(None);
        let opening_hours = opening_hours.flatten();
        let from_app = FromApp {
            name: own.name.is_none() && app.name.is_some(),
            opening_hours: opening_hours.is_none() && app.opening_hours.is_some(),
        };
        let profile = Self {
            name: own.name.or(app.name),
            time_zone: time_zone.flatten(),
            opening_hours: opening_hours.or(app.opening_hours),
            monthly_budget_micros: own.monthly_budget_micros,
            from_app,
        };
        (profile, is_readable)
    }

    /// Returns the part that comes from the app's tables.
    #[must_use]
    pub fn of_app(&self) -> AppProfile {
        AppProfile {
            name: self.name.clone().filter(|_| self.from_app.name),
            opening_hours: self.opening_hours.clone().filter(|_| self.from_app.opening_hours),
        }
    }
}

/// The profiles of all businesses, as of one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Profiles {
    zone: Tz,
    by_business: HashMap<String, Profile>,
    problems: Vec<String>,
}

impl Profiles {
    /// Creates profiles. Businesses without a time zone of their own are in `zone`.
    #[must_use]
    pub const fn new(zone: Tz, by_business: HashMap<String, Profile>) -> Self {
        Self { zone, by_business, problems: Vec::new() }
    }

    /// Notes what could not be read, in words for the log.
    #[must_use]
    pub fn with_problems(self, problems: Vec<String>) -> Self {
        Self { problems, ..self }
    }

    /// Returns what could not be read.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
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
        self.by_business.get(business_id)
    }

    /// Returns all profiles, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Profile)> {
        self.by_business.iter().map(|(business_id, profile)| (business_id.as_str(), profile))
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

#[cfg(test)]
mod tests {
    use super::*;

    const HOURS: &str = r#"{"monday":{"open":"09:00","close":"17:00"}}"#;

    #[test]
    fn what_is_set_here_goes_before_what_the_app_says() {
        let own = OwnProfile {
            name: Some("Own".to_owned()),
            time_zone: Some("Asia/Kathmandu".to_owned()),
            opening_hours: None,
            monthly_budget_micros: Some(1),
        };
        let hours = OpeningHours::parse(HOURS).unwrap();
        let app = AppProfile { name: Some("App".to_owned()), opening_hours: Some(hours.clone()) };
        let (profile, is_readable) = Profile::merged(own, app.clone());
        assert!(is_readable);
        assert_eq!((profile.name.as_deref(), profile.time_zone), (Some("Own"), Some(Tz::Asia__Kathmandu)));
        assert_eq!(profile.opening_hours, Some(hours));
        assert_eq!(profile.from_app, FromApp { name: false, opening_hours: true });
        assert_eq!(profile.of_app(), AppProfile { name: None, ..app });
    }

    #[test]
    fn what_cannot_be_read_counts_as_not_set() {
        let edited = OwnProfile {
            time_zone: Some("Mars/Olympus".to_owned()),
            opening_hours: Some("always".to_owned()),
            ..OwnProfile::default()
        };
        let app = AppProfile { name: None, opening_hours: OpeningHours::parse(HOURS).ok() };
        let (profile, is_readable) = Profile::merged(edited, app);
        assert!(!is_readable);
        assert_eq!((profile.time_zone, profile.from_app.opening_hours), (None, true));
    }

    #[test]
    fn a_zone_decides_the_day_the_hour_and_whether_it_is_open() {
        let (hours, zone) = (OpeningHours::parse(HOURS).ok(), Some(Tz::Asia__Kathmandu));
        let profile = Profile { opening_hours: hours, time_zone: zone, ..Profile::default() };
        let profiles = Profiles::new(Tz::UTC, HashMap::from([("smile".to_owned(), profile)]));
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        // Kathmandu is 5:45 ahead; 2026-11-23 is a Monday.
        let late = at("2026-11-22T23:30:00Z");
        assert_eq!(profiles.day("smile", late).to_string(), "2026-11-23");
        assert_eq!((profiles.hour("smile", late), profiles.hour("acme", late)), (5, 23));
        assert_eq!(profiles.day("acme", late).to_string(), "2026-11-22");
        assert_eq!(profiles.is_open("smile", at("2026-11-23T03:14:00Z")), Some(false));
        assert_eq!(profiles.is_open("smile", at("2026-11-23T03:15:00Z")), Some(true));
        assert_eq!(profiles.is_open("acme", late), None);
    }
}
