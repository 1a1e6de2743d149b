//! What models cost each day, for pages.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::counted_cost;
use crate::analytics::Usd;
use crate::store::{DayRange, Figures};

/// The counted cost of each day, parted by model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CostByModel {
    /// The names of the models that cost most over the period, the costliest first: at most [`CostByModel::MODELS`].
    pub models: Vec<String>,
    /// Whether other models cost something too.
    pub has_others: bool,
    /// Every day of the period, oldest first.
    pub days: Vec<CostOfDay>,
}

/// What a day cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CostOfDay {
    /// The day.
    pub day: NaiveDate,
    /// The cost of each of [`CostByModel::models`], in the same order.
    pub models: Vec<Usd>,
    /// The cost of all other models.
    pub others: Usd,
    /// Whether it is not over: today, and days to come.
    pub unfinished: bool,
}

impl CostByModel {
    /// The number of models with a cost of their own.
    pub const MODELS: usize = 5;

    pub(in crate::analytics) fn of(figures: &Figures, period: DayRange, today: NaiveDate) -> Self {
        let mut costs: BTreeMap<&str, i64> = BTreeMap::new();
        for ((_, model), nanos) in &figures.parted_costs {
            *costs.entry(model).or_default() += nanos;
        }
        let mut models: Vec<String> = costs.keys().map(|model| (*model).to_owned()).collect();
        models.sort_by_key(|model| Reverse(costs.get(model.as_str()).copied()));
        let of_day = |day: NaiveDate| {
            let of = |model: &String| figures.parted_costs.get(&(day, model.clone())).copied();
            let nanos: Vec<i64> = models.iter().map(|model| of(model).unwrap_or_default()).collect();
            let all = figures.days.get(&day).map(counted_cost).unwrap_or_default();
            CostOfDay {
                day,
                others: all - Usd::from_nanos(nanos.iter().sum()),
                models: nanos.into_iter().map(Usd::from_nanos).collect(),
                unfinished: day >= today,
            }
        };
        let days: Vec<CostOfDay> = period.days().map(of_day).collect();
        let has_others = days.iter().any(|day| day.others != Usd::default());
        Self { models, has_others, days }
    }
}

#[cfg(test)]
mod tests {
    use chrono::Days;

    use super::*;
    use crate::store::{Day, Summary};

    #[test]
    fn what_a_day_cost_is_parted_by_model() {
        let first = NaiveDate::default();
        let (second, third) = (first + Days::new(1), first + Days::new(2));
        let cost =
            |cost_micros| Day { answers: Summary { cost_micros, ..Summary::default() }, ..Day::default() };
        let figures = Figures {
            days: [(first, cost(7)), (second, cost(2))].into(),
            parted_costs: [
                ((first, "a".to_owned()), 1_000),
                ((first, "b".to_owned()), 4_000),
                ((second, "a".to_owned()), 2_000),
            ]
            .into(),
            ..Figures::default()
        };
        let costs = CostByModel::of(&figures, DayRange { from: first, to: third }, third);
        assert_eq!((costs.models, costs.has_others), (vec!["b".to_owned(), "a".to_owned()], true));
        let days = costs.days.iter().map(|day| (day.models.clone(), day.others, day.unfinished));
        let usd = Usd::from_micros;
        let expected = [
            (vec![usd(4), usd(1)], usd(2), false),
            (vec![usd(0), usd(2)], usd(0), false),
            (vec![usd(0), usd(0)], usd(0), true),
        ];
        assert_eq!(days.collect::<Vec<_>>(), expected);
    }
}
