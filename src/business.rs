//! Business profiles: the name, the time zone, the opening hours and the budget of a business.

mod hours;
mod profile;

pub use hours::{DayHours, HoursError, OpeningHours};
pub use profile::{Profile, ProfileCache, Profiles};
