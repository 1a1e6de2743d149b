//! The period of a request, in the time zone of the business.

use chrono::{Datelike, Days, Months, NaiveDate};
use serde::Deserialize;
use strum::{IntoStaticStr, VariantArray};

use crate::shape::Shape;
use crate::store::DayRange;

/// The maximum number of days of a period.
pub const MAX_DAYS: u16 = 366;

/// The number of days of a period if a request names none.
const DEFAULT_DAYS: u16 = 30;

/// The first day that a period may have.
const FIRST_DAY: NaiveDate = NaiveDate::from_ymd_opt(1970, 1, 1).expect("it is a day");

/// The parameters of a request that name a period: one of `days`, `period`, and `from` with `to`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct PeriodQuery {
    /// A number of days, of which today is the last.
    pub days: Option<String>,
    /// The name of a [`Named`] period.
    pub period: Option<String>,
    /// The first day, such as `2026-11-01`.
    pub from: Option<String>,
    /// The last day.
    pub to: Option<String>,
}

/// A period that has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Named {
    /// The current day.
    Today,
    /// The day before.
    Yesterday,
    /// From the first day of the current month to today.
    ThisMonth,
    /// The month before, from its first day to its last.
    LastMonth,
}

/// A period of days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Period {
    /// How an answer names it: `30_days`, the name of a [`Named`] period, or `2026-11-01..2026-11-07`.
    pub name: String,
    /// The days.
    pub days: DayRange,
}

/// Why the parameters name no period. It quotes none of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {must_be}")]
pub struct PeriodError {
    /// The parameter at fault.
    pub field: &'static str,
    /// What it must be.
    pub must_be: String,
}

impl PeriodQuery {
    /// Returns the period that the parameters name; the last 30 days if they name none.
    pub fn read(&self, today: NaiveDate) -> Result<Period, PeriodError> {
        let named = [("days", &self.days), ("period", &self.period), ("from", &self.from), ("to", &self.to)];
        let mut named = named.into_iter().filter(|(_, value)| value.is_some()).map(|(name, _)| name);
        match (named.next(), named.next()) {
            (None, _) => Ok(Period::of_days(DEFAULT_DAYS, today)),
            (Some("from"), Some(_)) => self.between(),
            (Some(first), Some(second)) => Err(error(second, &format!("cannot be combined with {first}"))),
            (Some("from"), None) => {
                Err(error("to", "must be sent as well as from, a date such as 2026-11-30"))
            }
            (Some("to"), None) => Err(error("from", "must be sent as well as to, a date such as 2026-11-01")),
            (Some("days"), None) => self.last_days(today),
            (Some(_), None) => self.by_name(today),
        }
    }

    /// Returns the schemas of the parameters, by their names.
    #[must_use]
    pub fn shapes() -> [(&'static str, Shape); 4] {
        let days = Shape::whole(1..=MAX_DAYS.into()).by_default(DEFAULT_DAYS);
        let day = || Shape::in_format("date");
        [
            ("days", days.about("A number of days, of which today is the last. A request names one of `days`, `period`, and `from` with `to`")),
            ("period", Shape::one_of(names()).about("The period by its name; `this_month` is up to today")),
            ("from", day().about("The first day, with `to`: from 1970 on, and at most 366 days before `to`, both included")),
            ("to", day().about("The last day, with `from`")),
        ]
    }

    fn last_days(&self, today: NaiveDate) -> Result<Period, PeriodError> {
        let text = self.days.as_deref().unwrap_or_default();
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let days = text.parse().ok().filter(|days| digits && (1..=MAX_DAYS).contains(days));
        let days =
            days.ok_or_else(|| error("days", &format!("must be a whole number from 1 to {MAX_DAYS}")))?;
        Ok(Period::of_days(days, today))
    }

    fn by_name(&self, today: NaiveDate) -> Result<Period, PeriodError> {
        let text = self.period.as_deref().unwrap_or_default();
        let known = Named::VARIANTS.iter().copied().find(|known| known.name() == text);
        let named =
            known.ok_or_else(|| error("period", &format!("must be one of {}", names().join(", "))))?;
        Ok(Period { name: text.to_owned(), days: named.days(today) })
    }

    fn between(&self) -> Result<Period, PeriodError> {
        let days =
            DayRange { from: date("from", self.from.as_deref())?, to: date("to", self.to.as_deref())? };
        if days.is_empty() {
            return Err(error("from", "must not be after to"));
        }
        if (days.to - days.from).num_days() >= i64::from(MAX_DAYS) {
            return Err(error(
                "from",
                &format!("and to must be at most {MAX_DAYS} days, both of them included"),
            ));
        }
        Ok(Period { name: format!("{}..{}", days.from, days.to), days })
    }
}

impl Period {
    /// Returns the period of this many days, from 1 on, of which `today` is the last.
    #[must_use]
    pub fn of_days(days: u16, today: NaiveDate) -> Self {
        let from = today - Days::new(u64::from(days.saturating_sub(1)));
        Self { name: format!("{days}_days"), days: DayRange { from, to: today } }
    }

    /// Returns the days to compare it with: as many, as many whole weeks earlier as it takes to be before it. The same weekdays are
    /// compared that way: most businesses are closed on some.
    #[must_use]
    pub fn previous(&self) -> DayRange {
        let shift = Days::new(self.shift());
        DayRange { from: self.days.from - shift, to: self.days.to - shift }
    }

    /// Returns how many days earlier the days are that its days are compared with.
    #[must_use]
    pub fn shift(&self) -> u64 {
        let length = (self.days.to - self.days.from).num_days().unsigned_abs() + 1;
        length.div_ceil(7) * 7
    }
}

impl Named {
    /// Returns its name in requests.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    fn days(self, today: NaiveDate) -> DayRange {
        let yesterday = today - Days::new(1);
        let first = today - Days::new(today.day0().into());
        match self {
            Self::Today => DayRange { from: today, to: today },
            Self::Yesterday => DayRange { from: yesterday, to: yesterday },
            Self::ThisMonth => DayRange { from: first, to: today },
            Self::LastMonth => DayRange { from: first - Months::new(1), to: first - Days::new(1) },
        }
    }
}

fn names() -> Vec<&'static str> {
    Named::VARIANTS.iter().map(|named| named.name()).collect()
}

/// Returns the error of a parameter, with all that a request may name.
fn error(field: &'static str, must_be: &str) -> PeriodError {
    let names = names().join(", ");
    let must_be = format!(
        "{must_be}; a request names one of: days, from 1 to {MAX_DAYS}; period, one of {names}; from and to, dates such as 2026-11-01"
    );
    PeriodError { field, must_be }
}

/// Parses a date in the form `2026-11-01`.
fn date(field: &'static str, text: Option<&str>) -> Result<NaiveDate, PeriodError> {
    let text = text.unwrap_or_default();
    let has_form = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let day = text.parse().ok().filter(|day: &NaiveDate| has_form && *day >= FIRST_DAY);
    day.ok_or_else(|| error(field, "must be a date such as 2026-11-01, not before 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn query(text: &str) -> PeriodQuery {
        let mut query = PeriodQuery::default();
        for (name, value) in text.split('&').filter_map(|pair| pair.split_once('=')) {
            let field = match name {
                "days" => &mut query.days,
                "period" => &mut query.period,
                "from" => &mut query.from,
                "to" => &mut query.to,
                _ => panic!("{name}"),
            };
            *field = Some(value.to_owned());
        }
        query
    }

    #[test]
    fn a_period_has_its_days_and_those_before_it() {
        for (text, name, days, before) in [
            ("", "30_days", "2026-02-01..2026-03-02", "2025-12-28..2026-01-26"),
            ("days=1", "1_days", "2026-03-02..2026-03-02", "2026-02-23..2026-02-23"),
            ("days=28", "28_days", "2026-02-03..2026-03-02", "2026-01-06..2026-02-02"),
            ("days=366", "366_days", "2025-03-02..2026-03-02", "2024-02-25..2025-02-24"),
            ("period=today", "today", "2026-03-02..2026-03-02", "2026-02-23..2026-02-23"),
            ("period=yesterday", "yesterday", "2026-03-01..2026-03-01", "2026-02-22..2026-02-22"),
            ("period=this_month", "this_month", "2026-03-01..2026-03-02", "2026-02-22..2026-02-23"),
            ("period=last_month", "last_month", "2026-02-01..2026-02-28", "2026-01-04..2026-01-31"),
            (
                "from=2025-03-02&to=2026-03-02",
                "2025-03-02..2026-03-02",
                "2025-03-02..2026-03-02",
                "2024-02-25..2025-02-24",
            ),
            (
                "from=2026-02-27&to=2026-03-01",
                "2026-02-27..2026-03-01",
                "2026-02-27..2026-03-01",
                "2026-02-20..2026-02-22",
            ),
            (
                "from=2026-03-01&to=2026-03-31",
                "2026-03-01..2026-03-31",
                "2026-03-01..2026-03-31",
                "2026-01-25..2026-02-24",
            ),
        ] {
            let period = query(text).read(day("2026-03-02")).unwrap();
            let shown = |days: DayRange| format!("{}..{}", days.from, days.to);
            let found = (period.name.as_str(), shown(period.days), shown(period.previous()));
            assert_eq!(found, (name, days.to_owned(), before.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_names_no_period_is_refused_with_what_does() {
        for (text, field) in [
            ("days=0", "days"),
            ("days=367", "days"),
            ("days=+1", "days"),
            ("days=", "days"),
            ("period=week", "period"),
            ("period=", "period"),
            ("days=1&period=today", "period"),
            ("days=1&from=2026-03-01&to=2026-03-02", "from"),
            ("period=today&to=2026-03-02", "to"),
            ("from=2026-03-01", "to"),
            ("to=2026-03-01", "from"),
            ("from=2026-3-1&to=2026-03-02", "from"),
            ("from=2026-02-29&to=2026-03-02", "from"),
            ("from=2026-03-01&to=tomorrow", "to"),
            ("from=2026-03-02&to=2026-03-01", "from"),
            ("from=2025-03-01&to=2026-03-02", "from"),
            ("from=1969-12-31&to=1970-01-01", "from"),
            ("from=-026-03-01&to=2026-03-01", "from"),
        ] {
            let error = query(text).read(day("2026-03-02")).unwrap_err();
            assert_eq!(error.field, field, "{text}: {error}");
            assert!(
                error.must_be.contains("this_month, last_month") && error.must_be.contains("1 to 366"),
                "{error}"
            );
        }
    }
}
