//! Whether noise is kept quiet and changes are told, by simulation.

use super::{Notable, NotableFigure, NotableValue, Pair, most};
use crate::analytics::sections::Basis;
use crate::conversation::DailySums;
use crate::store::{Day, Summary};

/// What days are drawn from.
#[derive(Clone, Copy)]
struct World {
    conversations: f64,
    /// How much the mean of a day differs from that of the others, as a part of it.
    unrest: f64,
    conversion: f64,
    handoffs: f64,
    errors: f64,
    response_ms: f64,
    cost_micros: f64,
}

const WORLD: World = World {
    conversations: 12.0,
    unrest: 0.0,
    conversion: 0.3,
    handoffs: 0.1,
    errors: 0.03,
    response_ms: 1_200.0,
    cost_micros: 4_000.0,
};

const BASIS: Basis = Basis { known_from: None, shares_book: true };

/// Random numbers that are the same in each run (xorshift64*, Vigna 2016).
struct Dice(u64);

impl Dice {
    /// Returns a number from 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    fn part(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Returns a factor around 1, from `1 - unrest` to `1 + unrest`.
    fn factor(&mut self, unrest: f64) -> f64 {
        1.0 + unrest * (2.0 * self.part() - 1.0)
    }

    /// Draws from a Poisson distribution (Knuth).
    fn poisson(&mut self, mean: f64) -> i64 {
        let (limit, mut product, mut count) = ((-mean).exp(), self.part(), 0);
        while product > limit {
            product *= self.part();
            count += 1;
        }
        count
    }

    fn binomial(&mut self, whole: i64, rate: f64) -> i64 {
        (0..whole).map(|_| i64::from(self.part() < rate)).sum()
    }

    fn day(&mut self, world: World, weekday: usize) -> Day {
        // Closed on Sundays, quiet on Saturdays.
        let busy = [1.2, 1.0, 1.0, 1.1, 1.3, 0.4, 0.0][weekday];
        let mean = world.conversations * busy * self.factor(world.unrest);
        let conversations = self.poisson(mean);
        let events = conversations * 3;
        let errors = world.errors * self.factor(world.unrest);
        let each = |mean: f64, factor: f64| rounded(mean * factor);
        Day {
            answers: Summary {
                events,
                errors: self.binomial(events, errors),
                response_time_ms: events * each(world.response_ms, self.factor(0.3)),
                cost_micros: conversations * each(world.cost_micros, self.factor(0.3)),
                ..Summary::default()
            },
            facts: DailySums {
                conversations,
                booked: self.binomial(conversations, world.conversion),
                handoffs: self.binomial(conversations, world.handoffs),
                ..DailySums::default()
            },
            ..Day::default()
        }
    }

    fn pair(&mut self, weekday: usize, now: World, before: World) -> Pair {
        Pair { now: self.day(now, weekday), before: self.day(before, weekday) }
    }

    fn told(&mut self, days: usize, now: World, before: World) -> Option<Notable> {
        let pairs: Vec<Pair> = (0..days).map(|day| self.pair(day % 7, now, before)).collect();
        most(&pairs, BASIS, true)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "it is small")]
fn rounded(number: f64) -> i64 {
    number.round() as i64
}

/// Of how many of a thousand simulations something was told.
fn told_of_thousand(days: usize, now: World, before: World, is_right: impl Fn(&Notable) -> bool) -> usize {
    let mut dice = Dice(0x5eed);
    (0..1_000).filter(|_| dice.told(days, now, before).is_some_and(|notable| is_right(&notable))).count()
}

#[test]
fn noise_is_kept_quiet() {
    for (conversations, unrest) in [(3.0, 0.0), (12.0, 0.0), (12.0, 0.8), (60.0, 0.8)] {
        for days in [6, 29, 89] {
            let world = World { conversations, unrest, ..WORLD };
            let told = told_of_thousand(days, world, world, |_| true);
            assert!(told <= 50, "{conversations} a day, {unrest}, {days} days: {told}");
        }
    }
}

#[test]
fn changes_are_told() {
    for (changed, figure, is_more) in [
        (World { conversations: 24.0, ..WORLD }, NotableFigure::Conversations, true),
        (World { conversion: 0.15, ..WORLD }, NotableFigure::Conversion, false),
        (World { handoffs: 0.3, ..WORLD }, NotableFigure::HandoffRate, true),
        (World { errors: 0.15, ..WORLD }, NotableFigure::ErrorRate, true),
        (World { response_ms: 2_400.0, ..WORLD }, NotableFigure::ResponseTime, true),
        (World { cost_micros: 2_000.0, ..WORLD }, NotableFigure::CostPerConversation, false),
    ] {
        let is_right = |notable: &Notable| (notable.figure, notable.is_more) == (figure, is_more);
        let told = told_of_thousand(29, changed, WORLD, is_right);
        assert!(told >= 900, "{figure:?}: {told}");
    }
}

#[test]
fn values_are_those_of_the_days_compared() {
    let of = |conversations, booked| Day {
        facts: DailySums { conversations, booked, ..DailySums::default() },
        ..Day::default()
    };
    let pairs = [Pair { now: of(30, 12), before: of(15, 6) }; 6];
    let notable = most(&pairs, BASIS, true).unwrap();
    let expected = (NotableFigure::Conversations, NotableValue::Count(180), NotableValue::Count(90));
    assert_eq!((notable.figure, notable.now, notable.before), expected);
    assert_eq!((notable.change, notable.is_more), (Some(1.0), true));
    assert_eq!(most(&pairs, BASIS, false), None, "conversations are not known of all days");
    assert_eq!(most(&pairs[..3], BASIS, true), None, "too few days");
    assert_eq!(most(&[Pair { now: of(2, 1), before: of(1, 1) }; 6], BASIS, true), None, "too few cases");
    assert_eq!(
        most(&[Pair { now: of(1_090, 9), before: of(1_000, 8) }; 12], BASIS, true),
        None,
        "too small a change"
    );
    let closed = [Pair { now: of(0, 0), before: of(15, 6) }; 6];
    let notable = most(&closed, BASIS, true).unwrap();
    assert_eq!((notable.now, notable.change), (NotableValue::Count(0), Some(-1.0)));
}
