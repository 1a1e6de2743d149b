//! Sums over a period, all of which can be added up.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use chrono::NaiveDate;

use crate::conversation::{CostSums, DailySums};
use crate::rollup::Latencies;
use crate::store::rollups::analytics::Summary;

/// Declares a struct of sums whose fields are columns, that can be added up and read from a row of either database.
macro_rules! sums {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: i64,)+
        }

        impl $name {
            /// Its columns.
            pub(in crate::store) const COLUMNS: &'static [&'static str] = &[$(stringify!($field)),+];
        }

        impl std::ops::AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                $(self.$field += other.$field;)+
            }
        }

        from_row!($name { $($field),+ });
    };
}
pub(in crate::store) use sums;

sums! {
    /// What belongs to an intent: answers by their own, conversations by that of their first answer.
    Intent {
        /// Answers.
        answers,
        /// Answers in which the AI failed.
        errors,
        /// Conversations.
        conversations,
        /// Conversations in which an appointment was requested.
        requested,
        /// Booked conversations; see [`DailySums::booked`].
        booked,
        /// See [`DailySums::claimed_not_booked`].
        claimed_not_booked,
    }
}

sums! {
    /// What belongs to an hour of the week.
    Hour {
        /// Conversations that began then.
        conversations,
        /// Those in which an appointment was requested.
        requested,
        /// Stored answers.
        answers,
    }
}

/// What belongs to a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Model {
    /// Sums over answers.
    pub answers: Summary,
    /// What they cost by the price table.
    pub costs: CostSums,
}

impl Model {
    /// Returns what it cost, in billionths of a US dollar: what was reported, and what was computed where nothing was.
    #[must_use]
    pub const fn counted_nanos(&self) -> i64 {
        self.answers.cost_micros.saturating_mul(1_000).saturating_add(self.costs.filled_nanos)
    }
}

impl AddAssign for Model {
    fn add_assign(&mut self, other: Self) {
        self.answers += other.answers;
        self.costs += other.costs;
    }
}

/// What belongs to a day.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Day {
    /// Sums over answers.
    pub answers: Summary,
    /// What they cost by the price table.
    pub costs: CostSums,
    /// Sums over conversations.
    pub facts: DailySums,
    /// Outcomes of conversations without facts.
    pub outcomes_without_conversation: i64,
    /// The median of response times in milliseconds; `None` without answers, or if it was not read.
    pub p50_ms: Option<f64>,
    /// Their 95th percentile, likewise.
    pub p95_ms: Option<f64>,
}

impl AddAssign for Day {
    /// Adds the sums of another day; percentiles cannot be added.
    fn add_assign(&mut self, other: Self) {
        self.answers += other.answers;
        self.costs += other.costs;
        self.facts += other.facts;
        self.outcomes_without_conversation += other.outcomes_without_conversation;
        (self.p50_ms, self.p95_ms) = (None, None);
    }
}

/// All sums over a period.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// By day; a day on which nothing happened is missing.
    pub days: BTreeMap<NaiveDate, Day>,
    /// By model.
    pub models: BTreeMap<String, Model>,
    /// By intent.
    pub intents: BTreeMap<String, Intent>,
    /// Answers by response type.
    pub response_types: BTreeMap<String, i64>,
    /// By weekday, from 1 (Monday) to 7, and hour.
    pub hours: BTreeMap<(u8, u8), Hour>,
    /// Response times of all answers.
    pub latencies: Latencies,
    /// Response times of the first answers of conversations.
    pub first_latencies: Latencies,
    /// Counted costs, in billionths of a US dollar: of each day and the costliest models, if that was asked for; see [`super::FiguresQuery::costliest`].
    /// Of all businesses, by these, and of all days together on the last of them.
    pub parted_costs: BTreeMap<(NaiveDate, String), i64>,
}

impl Figures {
    /// Adds figures of other days.
    pub(super) fn add(&mut self, other: &Self) {
        add_all(&mut self.days, &other.days);
        add_all(&mut self.models, &other.models);
        add_all(&mut self.intents, &other.intents);
        add_all(&mut self.response_types, &other.response_types);
        add_all(&mut self.hours, &other.hours);
        add_all(&mut self.parted_costs, &other.parted_costs);
        self.latencies.merge(&other.latencies);
        self.first_latencies.merge(&other.first_latencies);
    }

    /// Returns roughly how many bytes of memory they take.
    pub(super) fn weight(&self) -> u64 {
        let texts = self.models.keys().chain(self.intents.keys()).chain(self.response_types.keys());
        let texts = texts.chain(self.parted_costs.keys().map(|(_, model)| model));
        let texts: usize = texts.map(|text| text.len() + 64).sum();
        let models = self.models.len() * size_of::<Model>() + self.intents.len() * size_of::<Intent>();
        let hours = self.hours.len() * (size_of::<Hour>() + 8);
        let buckets = (self.latencies.buckets() + self.first_latencies.buckets()) * 16;
        (self.days.len() * (size_of::<Day>() + 8) + texts + models + hours + buckets) as u64
    }
}

/// Adds values key by key. A key that is new keeps its value as it is, percentiles included.
fn add_all<K: Ord + Clone, V: AddAssign + Copy>(mine: &mut BTreeMap<K, V>, theirs: &BTreeMap<K, V>) {
    for (key, value) in theirs {
        match mine.get_mut(key) {
            Some(mine) => *mine += *value,
            None => drop(mine.insert(key.clone(), *value)),
        }
    }
}
