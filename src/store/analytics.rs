//! What analytics reads: sums over answers and conversations, and facts about conversations. Of events it reads none.

mod cache;
mod conversations;
mod fetch;
mod figures;
mod list;
mod models;
mod read;
mod statements;

pub(super) use cache::FiguresCache;
pub use conversations::{ConversationFilter, OutcomeFilter};
pub(super) use figures::sums;
pub use figures::{Day, Figures, Hour, Intent, Model};
pub use list::{Headline, ListRead, ListedBusiness, ListedDetails, RankedBy};
pub use read::{FiguresQuery, FiguresRead, MonthSpent};

use chrono::{Days, NaiveDate};

/// Calendar days in the time zone of a business, both ends included; none if `to` is before `from`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DayRange {
    /// The first day.
    pub from: NaiveDate,
    /// The last day.
    pub to: NaiveDate,
}

impl DayRange {
    /// Returns whether `day` is one of them.
    #[must_use]
    pub fn contains(self, day: NaiveDate) -> bool {
        (self.from..=self.to).contains(&day)
    }

    /// Returns the days in order.
    pub fn days(self) -> impl Iterator<Item = NaiveDate> {
        self.from.iter_days().take_while(move |day| *day <= self.to)
    }

    /// Returns those before `today`, and the others.
    pub(super) fn parted(self, today: NaiveDate) -> (Self, Self) {
        let closed = Self { to: self.to.min(today - Days::new(1)), ..self };
        (closed, Self { from: self.from.max(today), ..self })
    }

    /// Returns whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.to < self.from
    }
}
