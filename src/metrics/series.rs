//! Which series the AI families show as they are. Label values come from callers, so the number of series is bounded, for each
//! family and for each business; what is over it counts as `other`.

use std::collections::{BTreeMap, BTreeSet};

use strum::VariantArray;

use crate::rollup::Key;

/// The label value that stands for all values without a place of their own.
pub(super) const OTHER: &str = "other";

/// The maximum number of response types with intents of a business, and of those that are left when intents are folded.
const ANSWERS_PER_BUSINESS: i64 = 200;
const RESPONSE_TYPES_PER_BUSINESS: i64 = 20;

/// The maximum number of models of a business.
const MODELS_PER_BUSINESS: i64 = 50;

/// The maximum number of series of a family per business that is shown, on average, and the least maximum.
const SERIES_PER_BUSINESS: i64 = 10;
const MIN_SERIES: i64 = 1_000;

/// What has a place among the series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, VariantArray)]
pub enum SeriesKind {
    /// Businesses.
    Business,
    /// Response types and intents of a business.
    Answers,
    /// Models of a business.
    Models,
}

/// A series. The parts of its key that do not matter are empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    /// Its kind.
    pub kind: SeriesKind,
    /// The values of its labels.
    pub key: Key,
}

/// How many series of a kind there may be before one more is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// In all.
    pub all: i64,
    /// Of the same business.
    pub of_business: i64,
}

impl SeriesKind {
    /// Returns the name under which its series are stored.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Business => "business",
            Self::Answers => "answers",
            Self::Models => "models",
        }
    }
}

/// The series that are shown.
#[derive(Debug, Clone)]
pub(super) struct ShownSeries {
    max_businesses: i64,
    places: Places,
}

/// Series, and how many there are of each kind and of each business.
#[derive(Debug, Clone, Default)]
struct Places {
    series: BTreeSet<Series>,
    by_kind: [i64; SeriesKind::VARIANTS.len()],
    by_business: BTreeMap<String, [i64; SeriesKind::VARIANTS.len()]>,
}

impl ShownSeries {
    pub(super) fn new(max_businesses: usize) -> Self {
        let max_businesses = i64::try_from(max_businesses).unwrap_or(i64::MAX);
        Self { max_businesses, places: Places::default() }
    }

    /// Shows `series`, as far as there is room.
    pub(super) fn show(&mut self, series: impl IntoIterator<Item = Series>) {
        for series in series {
            let bounds = self.bounds(&series);
            self.places.add(series, bounds);
        }
    }

    /// Shows `series` that are stored, whatever the bounds of today are; but never more businesses than are set.
    pub(super) fn show_stored(&mut self, series: impl IntoIterator<Item = Series>) {
        for series in series {
            let all = if series.kind == SeriesKind::Business { self.max_businesses } else { i64::MAX };
            self.places.add(series, Bounds { all, of_business: i64::MAX });
        }
    }

    /// Returns the series for `keys` that are not shown but have room.
    pub(super) fn new_series<'k>(
        &self,
        keys: &(impl Iterator<Item = &'k Key> + Clone),
    ) -> Vec<(Series, Bounds)> {
        let (mut added, mut new) = (Places::default(), Vec::new());
        for kind in SeriesKind::VARIANTS.iter().copied() {
            for key in keys.clone() {
                let is_known = |series: &Series| self.places.has(series) || added.has(series);
                let Some(series) = self.forms(kind, key, &added).find(|series| {
                    is_known(series) || has_room(&self.places, &added, series, self.bounds(series))
                }) else {
                    continue;
                };
                if !is_known(&series) {
                    new.push((series.clone(), self.bounds(&series)));
                    added.add(series, Bounds { all: i64::MAX, of_business: i64::MAX });
                }
            }
        }
        new
    }

    /// Returns the labels under which `key` is counted.
    pub(super) fn labels(&self, key: &Key) -> Key {
        let none = Places::default();
        let shown = |kind| {
            let mut forms = self.forms(kind, key, &none);
            forms.find(|series| self.places.has(series)).map(|series| series.key)
        };
        let (answers, model) = (shown(SeriesKind::Answers), shown(SeriesKind::Models));
        let other = || OTHER.to_owned();
        Key {
            business_id: self.business(key, &none).to_owned(),
            model_name: model.map_or_else(other, |key| key.model_name),
            intent_detected: answers.as_ref().map_or_else(other, |key| key.intent_detected.clone()),
            response_type: answers.map_or_else(other, |key| key.response_type),
        }
    }

    /// Returns whether a business has a place.
    pub(super) fn shows(&self, business_id: &str) -> bool {
        let key = Key { business_id: business_id.to_owned(), ..Key::default() };
        self.places.has(&Series { kind: SeriesKind::Business, key })
    }

    fn business<'k>(&self, key: &'k Key, added: &Places) -> &'k str {
        let business = Key { business_id: key.business_id.clone(), ..Key::default() };
        let business = Series { kind: SeriesKind::Business, key: business };
        if self.places.has(&business) || added.has(&business) { &key.business_id } else { OTHER }
    }

    /// Returns the series that may count `key`, the most precise one first.
    fn forms(&self, kind: SeriesKind, key: &Key, added: &Places) -> impl Iterator<Item = Series> + use<> {
        let series = |parts: [&str; 4]| Series { kind, key: Key::from(parts.map(ToOwned::to_owned)) };
        let Key { business_id, model_name, intent_detected, response_type } = key;
        let business = || self.business(key, added);
        let (first, second) = match kind {
            SeriesKind::Business => ([business_id, "", "", ""], None),
            SeriesKind::Models => ([business(), model_name, "", ""], None),
            SeriesKind::Answers => (
                [business(), "", intent_detected, response_type],
                Some([business(), "", OTHER, response_type]),
            ),
        };
        [Some(series(first)), second.map(series)].into_iter().flatten()
    }

    fn bounds(&self, series: &Series) -> Bounds {
        let of_family = self.max_businesses.saturating_mul(SERIES_PER_BUSINESS).max(MIN_SERIES);
        match series.kind {
            SeriesKind::Business => Bounds { all: self.max_businesses, of_business: i64::MAX },
            SeriesKind::Models => Bounds { all: of_family, of_business: MODELS_PER_BUSINESS },
            SeriesKind::Answers if series.key.intent_detected == OTHER => Bounds {
                all: of_family.saturating_add(of_family / SERIES_PER_BUSINESS),
                of_business: ANSWERS_PER_BUSINESS + RESPONSE_TYPES_PER_BUSINESS,
            },
            SeriesKind::Answers => Bounds { all: of_family, of_business: ANSWERS_PER_BUSINESS },
        }
    }
}

/// Returns whether `series` is within its bounds when it comes after those of `shown` and `added`.
fn has_room(shown: &Places, added: &Places, series: &Series, bounds: Bounds) -> bool {
    let (all, of_business) = shown.count(series);
    let (more, more_of_business) = added.count(series);
    all + more < bounds.all && of_business + more_of_business < bounds.of_business
}

impl Places {
    fn has(&self, series: &Series) -> bool {
        self.series.contains(series)
    }

    /// Returns the number of series of the same kind, in all and of the same business.
    fn count(&self, series: &Series) -> (i64, i64) {
        let kind = series.kind as usize;
        let of_business = self.by_business.get(&series.key.business_id).map_or(0, |counts| counts[kind]);
        (self.by_kind[kind], of_business)
    }

    /// Adds a series, unless it is there or its bounds are reached.
    fn add(&mut self, series: Series, bounds: Bounds) {
        if has_room(self, &Self::default(), &series, bounds) {
            let (kind, business) = (series.kind as usize, series.key.business_id.clone());
            if self.series.insert(series) {
                self.by_kind[kind] += 1;
                self.by_business.entry(business).or_default()[kind] += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(business: &str, model: &str, intent: &str, response_type: &str) -> Key {
        Key::from([business, model, intent, response_type].map(ToOwned::to_owned))
    }

    /// Shows what has room, as if it were stored.
    fn show_all(shown: &mut ShownSeries, keys: &[Key]) {
        let new = shown.new_series(&keys.iter());
        shown.show(new.into_iter().map(|(series, _)| series));
    }

    #[test]
    fn one_business_leaves_the_places_of_others() {
        let mut shown = ShownSeries::new(1_000);
        let number = |n: i32| n.to_string();
        let greedy: Vec<Key> =
            (0..1_000).map(|n| key("greedy", &number(n), &number(n), &number(n % 10))).collect();
        show_all(&mut shown, &greedy);
        let modest = key("modest", "model", "intent", "type");
        show_all(&mut shown, std::slice::from_ref(&modest));
        assert_eq!(shown.labels(&modest), modest);
        assert_eq!(shown.labels(&greedy[0]), greedy[0]);
        assert_eq!(shown.labels(&greedy[49]).model_name, "49");
        assert_eq!(shown.labels(&greedy[50]).model_name, OTHER);
        assert_eq!(shown.labels(&greedy[999]), key("greedy", OTHER, OTHER, "9"), "the type is kept");
    }

    #[test]
    fn the_series_of_a_family_are_bounded() {
        let mut shown = ShownSeries::new(100);
        let keys: Vec<Key> = (0..100)
            .flat_map(|business| (0..100).map(move |intent| (business, intent)))
            .map(|(business, intent)| key(&business.to_string(), "m", &intent.to_string(), "t"))
            .collect();
        show_all(&mut shown, &keys);
        let labels: BTreeSet<Key> = keys.iter().map(|key| shown.labels(key)).collect();
        assert_eq!(labels.len(), 1_090, "the bound, and one series of each business that came too late");
    }

    #[test]
    fn what_was_shown_before_stays_shown() {
        let mut shown = ShownSeries::new(1);
        let stored = |kind, key| Series { kind, key };
        let answers = |n: i32| stored(SeriesKind::Answers, key("b", "", &n.to_string(), "t"));
        shown.show_stored([stored(SeriesKind::Business, key("b", "", "", ""))]);
        shown.show_stored((0..2_000).map(answers));
        assert_eq!(shown.labels(&key("b", "m", "1999", "t")), key("b", OTHER, "1999", "t"));
        let new = shown.new_series(&[key("b", "m", "2000", "t")].iter());
        assert_eq!(new.len(), 1, "a model, and no more answers: {new:?}");
    }
}
