//! The statement of a month: what the printed page shows.

use chrono::{Days, NaiveDate};

use super::business_page::BusinessPage;
use super::{Period, PeriodError};
use crate::app::App;
use crate::app::last_known::{Key, Remembered, Shown, shown};
use crate::clock::start_of;
use crate::link::Month;
use crate::privacy::RequestKind;
use crate::store::{DayRange, StoreError};

/// A calendar month that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatementMonth(Month);

impl StatementMonth {
    /// Parses a month such as `2026-10`, which must have begun by `today`; without one, it is the last month that is over.
    pub fn read(text: Option<&str>, today: NaiveDate) -> Result<Self, PeriodError> {
        let current = Month::of(today);
        let Some(text) = text else { return Ok(Self(Month::of(current.first_day() - Days::new(1)))) };
        let month = text.parse().ok().filter(|month| *month <= current);
        let must_be = "must be a month such as 2026-10, not before 1970 and not after the current one";
        month.map(Self).ok_or_else(|| PeriodError { field: "month", must_be: must_be.to_owned() })
    }

    /// Returns its first day.
    #[must_use]
    pub const fn first(self) -> NaiveDate {
        self.0.first_day()
    }

    /// Returns its days, named such as `2026-10`.
    #[must_use]
    pub fn period(self) -> Period {
        let days = DayRange { from: self.0.first_day(), to: self.0.last_day() };
        Period { name: self.0.to_string(), days }
    }

    /// Returns the first day of the month after.
    fn next(self) -> NaiveDate {
        self.0.last_day() + Days::new(1)
    }
}

/// The statement of a month.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// The figures of the month.
    pub page: BusinessPage,
    /// Requests of customers that were completed in the month.
    pub privacy_requests: PrivacyRequests,
    /// Whether the month is over, so that the figures are hardly going to change.
    pub is_over: bool,
}

/// How many requests of customers to one business were completed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PrivacyRequests {
    /// Requests for a copy of the data.
    pub exports: i64,
    /// Requests for erasure.
    pub erasures: i64,
}

/// Computes the statement of a month; while the store is away, returns the last known one. `own` is the only business that the reader may see, if there is one.
pub async fn statement(
    app: &App,
    own: Option<&str>,
    business_id: &str,
    month: StatementMonth,
) -> Result<Shown<Statement>, StoreError> {
    let key = Key::new(own, &(business_id, month.period().name));
    shown(app, key, async || Statement::of(app, business_id, month).await).await
}

impl Statement {
    async fn of(app: &App, business_id: &str, month: StatementMonth) -> Result<Self, StoreError> {
        let profiles = app.store.profiles().current();
        let (zone, today) = (profiles.zone(business_id), profiles.day(business_id, app.clock.now()));
        let page = BusinessPage::of(app, business_id, &month.period()).await?;
        let (from, until) = (start_of(month.first(), zone), start_of(month.next(), zone));
        let completed = app.store.completed_requests(business_id, from..until).await?;
        let of = |kind: RequestKind| completed.get(kind.name()).copied().unwrap_or_default();
        let privacy_requests =
            PrivacyRequests { exports: of(RequestKind::Export), erasures: of(RequestKind::Erase) };
        Ok(Self { page, privacy_requests, is_over: month.next() <= today })
    }
}

impl Remembered for Statement {
    fn bytes(&self) -> usize {
        self.page.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn a_month_is_read_and_has_its_days() {
        for (text, first, last) in [
            (None, "2026-02-01", "2026-02-28"),
            (Some("2026-03"), "2026-03-01", "2026-03-31"),
            (Some("2024-02"), "2024-02-01", "2024-02-29"),
            (Some("2025-12"), "2025-12-01", "2025-12-31"),
        ] {
            let month = StatementMonth::read(text, day("2026-03-15")).unwrap();
            let period = month.period();
            assert_eq!((period.days.from, period.days.to), (day(first), day(last)), "{text:?}");
            assert_eq!(period.name, first[..7]);
        }
        for text in ["2026-04", "2026-13", "2026-3", "1969-12", "2026", "", "2026-03-01", "+026-03"] {
            let error = StatementMonth::read(Some(text), day("2026-03-15")).unwrap_err();
            assert!(error.field == "month" && error.must_be.contains("2026-10"), "{text}: {error}");
        }
    }
}
