//! The parts of an answer, each computed from the figures of a business.

mod conversations;
mod cost;
mod funnel;
mod groups;
mod hours;
mod model_costs;
mod percentiles;
mod previous;
mod quality;
mod series;

pub use conversations::Conversations;
pub use cost::Cost;
pub(super) use cost::Month;
pub use funnel::Funnel;
pub use groups::{OfIntent, OfModel, OfResponseType};
pub use hours::OfHour;
pub use model_costs::{CostByModel, CostOfDay};
pub use percentiles::{AllPercentiles, Percentiles};
pub use previous::{Change, Previous};
pub use quality::Quality;
pub use series::{Ends, OfDay};

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

use super::Usd;
use crate::conversation::DailySums;
use crate::store::{Day, Summary};

/// Sums and averages of answers, as the first version of the service had them.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Metrics {
    /// Answers; the name is older than the distinction.
    #[schema(minimum = 0)]
    pub total_conversations: i64,
    /// The mean response time in milliseconds; 0 without answers.
    pub avg_response_time_ms: f64,
    /// The mean number of tokens; 0 without answers.
    pub avg_tokens_used: f64,
    /// The reported cost.
    pub total_api_cost_usd: f64,
    /// Answers in which an appointment was requested.
    #[schema(minimum = 0)]
    pub appointment_requests: i64,
    /// Answers in which an appointment was booked.
    #[schema(minimum = 0)]
    pub appointments_booked: i64,
    /// Answers in which a handoff was requested.
    #[schema(minimum = 0)]
    pub human_handoffs: i64,
    /// Booked ÷ requested; 0 if nothing was requested.
    pub appointment_conversion_rate: f64,
}

impl From<Summary> for Metrics {
    #[expect(clippy::cast_precision_loss, reason = "millionths of a dollar stay below 2^53")]
    fn from(sums: Summary) -> Self {
        Self {
            total_conversations: sums.events,
            avg_response_time_ms: ratio(sums.response_time_ms, sums.events),
            avg_tokens_used: ratio(sums.tokens, sums.events),
            total_api_cost_usd: sums.cost_micros as f64 / 1e6,
            appointment_requests: sums.appointments_requested,
            appointments_booked: sums.appointments_booked,
            human_handoffs: sums.handoffs,
            appointment_conversion_rate: ratio(sums.appointments_booked, sums.appointments_requested),
        }
    }
}

/// Returns `part` ÷ `whole`; 0.0 if `whole` is 0.
#[expect(clippy::cast_precision_loss, reason = "sums stay below 2^53")]
fn ratio(part: i64, whole: i64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// What must be known to count conversations and bookings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Basis {
    /// The first day of which conversations are known; `None` if they are of every day.
    pub known_from: Option<NaiveDate>,
    /// Whether the receptionist app's book is shared. Where it is not, a booking that an event claims counts.
    pub shares_book: bool,
}

impl Basis {
    /// Returns whether the conversations of a day are known.
    #[must_use]
    pub fn knows(self, day: NaiveDate) -> bool {
        self.known_from.is_none_or(|from| day >= from)
    }

    /// Returns the number of booked conversations.
    #[must_use]
    pub const fn booked(self, booked: i64, claimed_not_booked: i64) -> i64 {
        if self.shares_book { booked } else { booked + claimed_not_booked }
    }

    pub(super) fn booked_of(self, facts: &DailySums) -> i64 {
        self.booked(facts.booked, facts.claimed_not_booked)
    }
}

/// The sums of some days.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Totals {
    /// Of all of them.
    pub(super) all: Day,
    /// Of those whose conversations are known; `None` if there is no such day.
    pub(super) known: Option<Day>,
}

impl Totals {
    /// Adds up the days that `counts` accepts. `last` is the last day of the period.
    pub(super) fn of(
        days: &BTreeMap<NaiveDate, Day>,
        last: NaiveDate,
        basis: Basis,
        counts: impl Fn(NaiveDate) -> bool,
    ) -> Self {
        let mut totals = Self { known: basis.knows(last).then(Day::default), ..Self::default() };
        for (day, sums) in days.iter().filter(|(day, _)| counts(**day)) {
            totals.all += *sums;
            if let Some(known) = totals.known.as_mut().filter(|_| basis.knows(*day)) {
                *known += *sums;
            }
        }
        totals
    }
}

/// Returns the counted cost of a day: what was reported, and what was computed where nothing was.
pub(super) fn counted_cost(day: &Day) -> Usd {
    Usd::from_micros(day.answers.cost_micros) + Usd::from_nanos(day.costs.filled_nanos)
}
