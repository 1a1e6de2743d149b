//! What conversations and answers add up to: the rows of the tables of sums. No person is in them.
//!
//! Each table is declared once, by `sum_rows!`; its statements follow from that (`store/digest/sums.rs`).

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;

use chrono::NaiveDate;
use strum::{EnumString, IntoStaticStr};

/// What a table of sums is parted by, beside business and day.
pub trait Part: Clone + Debug + Ord + Hash {
    /// Whether it is stored as a number.
    const IS_NUMBER: bool;

    /// Returns the value as it is stored; `None` if the table is not parted any further.
    fn value(&self) -> Option<serde_json::Value>;
}

impl Part for () {
    const IS_NUMBER: bool = false;

    fn value(&self) -> Option<serde_json::Value> {
        None
    }
}

impl Part for i16 {
    const IS_NUMBER: bool = true;

    fn value(&self) -> Option<serde_json::Value> {
        Some((*self).into())
    }
}

impl Part for String {
    const IS_NUMBER: bool = false;

    fn value(&self) -> Option<serde_json::Value> {
        Some(self.as_str().into())
    }
}

/// A row of a table of sums.
pub trait SumRow: Copy + Default + PartialEq {
    /// The name of the table.
    const TABLE: &'static str;
    /// The column that parts it further than business and day.
    const PART: Option<&'static str>;
    /// The columns of the sums.
    const COLUMNS: &'static [&'static str];
    /// What [`SumRow::PART`] contains.
    type Part: Part;

    /// Returns the sums, in the order of [`SumRow::COLUMNS`].
    fn values(&self) -> Vec<i64>;

    /// Adds `other` `times` times, which is 1 or −1.
    fn add(&mut self, other: &Self, times: i64);

    /// Reads the sums, each from the column that `get` returns.
    fn read<E>(get: impl Fn(&'static str) -> Result<i64, E>) -> Result<Self, E>;
}

/// Declares tables of sums.
macro_rules! sum_rows {
    ($($(#[$doc:meta])+ $name:ident in $table:literal $(by $part:literal)?: $kind:ty {
        $($(#[$sum_doc:meta])+ $sum:ident,)+
    })+) => {$(
        $(#[$doc])+
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct $name {
            $($(#[$sum_doc])+ pub $sum: i64,)+
        }

        impl SumRow for $name {
            const TABLE: &'static str = $table;
            const PART: Option<&'static str> = sum_rows!(@part $($part)?);
            const COLUMNS: &'static [&'static str] = &[$(stringify!($sum)),+];
            type Part = $kind;

            fn values(&self) -> Vec<i64> {
                vec![$(self.$sum),+]
            }

            fn add(&mut self, other: &Self, times: i64) {
                $(self.$sum = self.$sum.saturating_add(other.$sum.saturating_mul(times));)+
            }

            fn read<E>(get: impl Fn(&'static str) -> Result<i64, E>) -> Result<Self, E> {
                Ok(Self { $($sum: get(stringify!($sum))?),+ })
            }
        }

        impl std::ops::AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                self.add(&other, 1);
            }
        }
    )+};
    (@part) => { None };
    (@part $part:literal) => { Some($part) };
}

sum_rows! {
    /// Conversations by the day of their first answer, and answers by their own day.
    DailySums in "mlops_conversation_daily": () {
        /// Conversations.
        conversations,
        /// Answers of these conversations, on whatever day.
        conversation_answers,
        /// Conversations in which an appointment was requested.
        requested,
        /// Conversations of which an event claims a booking.
        claimed,
        /// Conversations with a booking in the app's book or a posted one.
        booked,
        /// Of those claimed, conversations that are not booked.
        claimed_not_booked,
        /// Conversations with a booking in the app's book that no event claims.
        in_book_not_claimed,
        /// Of those booked, conversations that no event claims.
        booked_not_claimed,
        /// Conversations whose customer came.
        kept,
        /// Conversations whose appointment was cancelled.
        cancelled,
        /// Conversations whose customer did not come.
        no_show,
        /// Of those requested, conversations that are neither booked nor claimed nor handed to a person.
        dropped,
        /// Conversations that were handed to a person.
        handoffs,
        /// Conversations without handoff or error.
        contained,
        /// Conversations that began when the opening hours were known.
        with_hours,
        /// Of those, conversations that began outside them.
        after_hours,
        /// What the booked appointments are worth, in millionths of a US dollar.
        value_booked_micros,
        /// What the kept appointments are worth, in millionths of a US dollar.
        value_kept_micros,
        /// Answers.
        answers,
        /// Answers that belong to no conversation.
        answers_without_conversation,
    }

    /// Conversations by the hour of their first answer, and answers by their own hour.
    HourlySums in "mlops_hourly" by "hour": i16 {
        /// See [`DailySums::conversations`].
        conversations,
        /// See [`DailySums::requested`].
        requested,
        /// See [`DailySums::booked`].
        booked,
        /// See [`DailySums::claimed_not_booked`].
        claimed_not_booked,
        /// See [`DailySums::handoffs`].
        handoffs,
        /// Answers.
        answers,
        /// Answers that are errors.
        errors,
    }

    /// Conversations by the intent of their first answer.
    IntentSums in "mlops_intent_daily" by "intent_detected": String {
        /// See [`DailySums::conversations`].
        conversations,
        /// See [`DailySums::requested`].
        requested,
        /// See [`DailySums::booked`].
        booked,
        /// See [`DailySums::claimed_not_booked`].
        claimed_not_booked,
    }

    /// What answers cost, by model.
    CostSums in "mlops_cost_daily" by "model_name": String {
        /// Answers.
        answers,
        /// Answers with a reported cost.
        reported,
        /// Answers with a computed cost.
        computed,
        /// The computed cost, in billionths of a US dollar.
        computed_nanos,
        /// Of those computed, answers without a reported cost.
        filled,
        /// Their computed cost, which counts, in billionths of a US dollar.
        filled_nanos,
        /// The reported cost of answers that have both, in millionths of a US dollar.
        both_reported_micros,
        /// Answers with both token counts and no price.
        unpriced,
        /// Answers without both token counts.
        not_computable,
        /// Answers whose token counts are a guess.
        estimated,
    }

    /// Response times of first answers, by the bucket of [`crate::rollup::latency_bucket`].
    FirstLatencySums in "mlops_first_latency_daily" by "bucket": i16 {
        /// Conversations.
        conversations,
    }

    /// Outcomes of conversations without facts, by the day on which they occurred.
    OutcomeSums in "mlops_outcome_daily" by "outcome": String {
        /// Outcomes.
        outcomes,
    }
}

/// The key of a row of sums: business, day and part.
type CellKey<S> = (String, NaiveDate, <S as SumRow>::Part);

/// Rows of a table of sums.
#[derive(Debug, Clone, PartialEq)]
pub struct Cells<S: SumRow>(BTreeMap<CellKey<S>, S>);

impl<S: SumRow> Default for Cells<S> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<S: SumRow> Cells<S> {
    /// Returns the row of a business, day and part, to be added to.
    pub fn of(&mut self, business_id: &str, day: NaiveDate, part: S::Part) -> &mut S {
        self.0.entry((business_id.to_owned(), day, part)).or_default()
    }

    /// Adds rows.
    fn add(&mut self, other: Self) {
        for (key, sums) in other.0 {
            self.0.entry(key).or_default().add(&sums, 1);
        }
    }

    /// Returns the rows that are not zero, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&CellKey<S>, &S)> {
        let zero = S::default();
        self.0.iter().filter(move |(_, sums)| **sums != zero)
    }
}

/// What is counted over all time, for metrics. The amounts only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum TotalKind {
    /// Conversations; without a label.
    Conversations,
    /// Computed costs in billionths of a US dollar, by model.
    ComputedNanos,
    /// Outcomes, by their name.
    Outcomes,
    /// How often what became of an appointment changed for a conversation with facts; without a label. It is for caches, not for metrics.
    Settled,
}

impl TotalKind {
    /// Returns its name in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Amounts over all time, by business, kind and label.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FactTotals(BTreeMap<(String, TotalKind, String), i64>);

impl FactTotals {
    /// Adds an amount.
    pub fn add(&mut self, business_id: &str, kind: TotalKind, label: &str, amount: i64) {
        let total = self.0.entry((business_id.to_owned(), kind, label.to_owned())).or_default();
        *total = total.saturating_add(amount);
    }

    /// Returns the amounts that are not zero, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, TotalKind, &str, i64)> {
        let amounts = self.0.iter().filter(|(_, amount)| **amount != 0);
        amounts.map(|((business_id, kind, label), amount)| {
            (business_id.as_str(), *kind, label.as_str(), *amount)
        })
    }
}

/// All sums.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FactSums {
    /// By day.
    pub daily: Cells<DailySums>,
    /// By hour.
    pub hourly: Cells<HourlySums>,
    /// By intent.
    pub intents: Cells<IntentSums>,
    /// By model.
    pub costs: Cells<CostSums>,
    /// By response time of first answers.
    pub first_latency: Cells<FirstLatencySums>,
    /// Outcomes of conversations without facts.
    pub outcomes: Cells<OutcomeSums>,
    /// Over all time.
    pub totals: FactTotals,
}

impl FactSums {
    /// Adds other sums.
    pub fn add(&mut self, other: Self) {
        self.daily.add(other.daily);
        self.hourly.add(other.hourly);
        self.intents.add(other.intents);
        self.costs.add(other.costs);
        self.first_latency.add(other.first_latency);
        self.outcomes.add(other.outcomes);
        for ((business_id, kind, label), amount) in other.totals.0 {
            self.totals.add(&business_id, kind, &label, amount);
        }
    }
}
