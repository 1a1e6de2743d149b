//! Dates and times.

use chrono::{Datelike, NaiveDate, NaiveTime, Timelike};
use icu_datetime::fieldsets::{MD, T, YMD};
use icu_datetime::input::{Date, Time};
use icu_datetime::options::YearStyle;
use icu_datetime::preferences::{HourCycle, NumberingSystem};

use icu_datetime::{DateTimeFormatterPreferences, FixedCalendarDateTimeFormatter};
use icu_locale_core::{LanguageIdentifier, extensions::unicode::value, subtags::language};

use super::{NO_FIGURE, without_direction};

type Gregorian = icu_calendar::Gregorian;
type Formatter<Fields> = FixedCalendarDateTimeFormatter<Gregorian, Fields>;

/// Formats the parts of a moment.
pub(super) struct Dates {
    day: Formatter<YMD>,
    short: Formatter<MD>,
    time: Formatter<T>,
}

const COMPILED_IN: &str = "the data of every locale is compiled in, and others have those of the root";

impl Dates {
    /// English readers get the names of months, and AM and PM where they are used to these; others get figures: their own words would
    /// be foreign in English text.
    pub(super) fn of(tag: &LanguageIdentifier) -> Self {
        let mut preferences = DateTimeFormatterPreferences::from(tag);
        preferences.numbering_system = NumberingSystem::try_from(value!("latn")).ok();
        let english = tag.language == language!("en");
        if !english {
            preferences.hour_cycle = Some(HourCycle::H23);
        }
        let (day, short) = match english {
            true => (YMD::medium(), MD::medium()),
            false => (YMD::short().with_year_style(YearStyle::Full), MD::short()),
        };
        Self {
            day: Formatter::try_new(preferences, day).expect(COMPILED_IN),
            short: Formatter::try_new(preferences, short).expect(COMPILED_IN),
            time: Formatter::try_new(preferences, T::hm()).expect(COMPILED_IN),
        }
    }

    pub(super) fn day(&self, day: NaiveDate) -> String {
        date(day).map_or_else(dash, |date| without_direction(&self.day.format(&date).to_string()))
    }

    pub(super) fn short(&self, day: NaiveDate) -> String {
        date(day).map_or_else(dash, |date| without_direction(&self.short.format(&date).to_string()))
    }

    pub(super) fn time(&self, time: NaiveTime) -> String {
        let narrow = |part: u32| u8::try_from(part).unwrap_or_default();
        let time = Time::try_new(narrow(time.hour()), narrow(time.minute()), narrow(time.second()), 0);
        time.map_or_else(|_| dash(), |time| without_direction(&self.time.format(&time).to_string()))
    }
}

/// The same day in the other library; `None` beyond the years 9999 before and after our era.
fn date(day: NaiveDate) -> Option<Date<Gregorian>> {
    let narrow = |part: u32| u8::try_from(part).unwrap_or_default();
    Date::try_new_gregorian(day.year(), narrow(day.month()), narrow(day.day())).ok()
}

fn dash() -> String {
    NO_FIGURE.to_owned()
}
