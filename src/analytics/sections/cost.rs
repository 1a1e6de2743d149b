//! `cost`.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Basis, Totals, counted_cost};
use crate::analytics::{Rate, Usd};
use crate::clock::start_of;
use crate::conversation::DailySums;
use crate::store::{DayRange, MonthSpent};

/// What answers cost, and the budget of the current month.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Cost {
    /// What events reported.
    pub reported_usd: Usd,
    /// What the price table makes of answers with both token counts.
    pub computed_usd: Usd,
    /// The reported cost, or the computed one where none was reported.
    pub counted_usd: Usd,
    /// (reported − computed) ÷ computed, over answers that have both.
    pub drift: Rate<Usd>,
    /// The counted cost for each conversation, like the next two of days whose conversations are known; `None` without any.
    #[schema(required)]
    pub per_conversation_usd: Option<Usd>,
    /// The counted cost for each booked conversation.
    #[schema(required)]
    pub per_booking_usd: Option<Usd>,
    /// The counted cost for each kept appointment.
    #[schema(required)]
    pub per_kept_usd: Option<Usd>,
    /// The budget of a calendar month; `None` if none is set.
    #[schema(required)]
    pub budget_usd: Option<Usd>,
    /// The counted cost of the current calendar month so far.
    pub month_spent_usd: Usd,
    /// What it will be at the end of the month if it goes on as it did so far.
    #[schema(required)]
    pub month_projected_usd: Option<Usd>,
}

impl Cost {
    pub(in crate::analytics) fn of(
        totals: &Totals,
        basis: Basis,
        month: &Month,
        budget: Option<i64>,
    ) -> Self {
        let costs = &totals.all.costs;
        let both_computed = Usd::from_nanos(costs.computed_nanos - costs.filled_nanos);
        let known = totals.known.as_ref();
        let per = |count: fn(Basis, &DailySums) -> i64| {
            known.and_then(|known| counted_cost(known).per(count(basis, &known.facts)))
        };
        Self {
            reported_usd: Usd::from_micros(totals.all.answers.cost_micros),
            computed_usd: Usd::from_nanos(costs.computed_nanos),
            counted_usd: counted_cost(&totals.all),
            drift: Rate::change_of_amount(Usd::from_micros(costs.both_reported_micros), both_computed),
            per_conversation_usd: per(|_, facts| facts.conversations),
            per_booking_usd: per(Basis::booked_of),
            per_kept_usd: per(|_, facts| facts.kept),
            budget_usd: budget.map(Usd::from_micros),
            month_spent_usd: month.spent,
            month_projected_usd: month.projected(),
        }
    }
}

/// The current calendar month of a business, and what it has cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::analytics) struct Month {
    spent: Usd,
    /// How much of it is over, from 0 to 1.
    elapsed: f64,
}

impl Month {
    /// Returns the days of the month so far.
    pub(in crate::analytics) fn days(today: NaiveDate) -> DayRange {
        DayRange { from: today - Days::new(today.day0().into()), to: today }
    }

    pub(in crate::analytics) fn new(spent: MonthSpent, now: DateTime<Utc>, zone: Tz) -> Self {
        let first = Self::days(now.with_timezone(&zone).date_naive()).from;
        let (begin, end) = (start_of(first, zone), start_of(first + Months::new(1), zone));
        #[expect(clippy::cast_precision_loss, reason = "a month has fewer milliseconds than 2^53")]
        let elapsed = (now - begin).num_milliseconds() as f64 / (end - begin).num_milliseconds() as f64;
        Self { spent: Usd::from_micros(spent.cost_micros) + Usd::from_nanos(spent.filled_nanos), elapsed }
    }

    /// Returns the cost at the end of the month if each part of it costs as much as the elapsed one; `None` in its first instant.
    fn projected(&self) -> Option<Usd> {
        (self.elapsed > 0.0).then(|| self.spent.scaled(1.0 / self.elapsed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::parse_timestamp;

    fn projected(now: &str, zone: Tz) -> Option<f64> {
        let spent = MonthSpent { cost_micros: 2_000_000, filled_nanos: 1_000_000_000 };
        Month::new(spent, parse_timestamp(now).unwrap(), zone).projected().map(Usd::dollars)
    }

    #[test]
    fn a_month_is_projected_by_how_much_of_it_is_over() {
        assert_eq!(projected("2026-11-11T00:00:00Z", Tz::UTC), Some(9.0), "10 of 30 days");
        assert_eq!(projected("2026-02-15T00:00:00Z", Tz::UTC), Some(6.0), "14 of 28 days");
        assert_eq!(projected("2026-12-01T00:00:00Z", Tz::UTC), None);
        // 743 hours: the clocks were put forward.
        assert_eq!(projected("2026-03-15T23:00:00Z", Tz::Europe__Berlin), Some(6.191_666_667));
        // Still October in New York, by half an hour.
        let end = projected("2026-11-01T03:30:00Z", Tz::America__New_York).unwrap();
        assert!(end > 3.0 && end < 3.003, "{end}");
    }
}
