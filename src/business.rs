//! Business profiles: the name, the time zone, the opening hours and the budget of a business.

mod cache;
mod change;
mod hours;
mod hours_error;
mod hours_json;
mod hours_of_app;
mod profile;

pub use cache::ProfileCache;
pub use change::{Change, InvalidProfile, ProfileChange, ProfileField, ProfileRequest};
pub use hours::{DayHours, OpeningHours};
pub use hours_error::HoursError;
pub use profile::{AppProfile, FromApp, OwnProfile, Profile, Profiles};

/// The maximum length of the id of a business, in characters.
pub const MAX_ID_CHARS: usize = 255;

/// Returns whether a text can be the id of a business. Postgres does not accept a NUL in text.
#[must_use]
pub fn is_business_id(text: &str) -> bool {
    (1..=MAX_ID_CHARS).contains(&text.chars().count()) && !text.contains(char::is_control)
}
