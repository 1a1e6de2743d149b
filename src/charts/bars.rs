//! Stacked bars over time.

use super::axis::{XAxis, YAxis};
use super::legend::{Entry, Legend, Shape, UNFINISHED};
use super::marks::{DENSE, bar, column, down, level};
use super::plot::{Plot, Series};
use super::scale::Scale;

/// How many times the highest bar a reference line may be and still be drawn: further up it would flatten the bars.
const REACH: f64 = 3.0;

/// A bar for each point, such as a day, of one or more parts on top of each other.
///
/// At a point where no part has a value nothing is known, which is drawn unlike 0.
#[derive(Debug, Clone)]
pub struct StackedBars {
    /// The points.
    pub x: XAxis,
    /// What the values are.
    pub y: YAxis,
    /// The parts, at most six, from the bottom to the top.
    pub series: Vec<Series>,
    /// How many points at the end are not over yet; their bars are pale, with an outline.
    pub unfinished: usize,
    /// A line across all bars.
    pub reference: Option<Reference>,
}

/// A line to compare bars with, such as the budget of a day. It is drawn unless it is more than three times as high as the highest
/// bar, and its label is always in the legend.
#[derive(Debug, Clone)]
pub struct Reference {
    /// Its value.
    pub value: f64,
    /// What it says, with the value: `Budget per day: $1.50`.
    pub label: String,
}

impl StackedBars {
    fn points(&self) -> usize {
        self.x.labels.len()
    }

    /// The height of the bar at a point; `None` where nothing is known.
    fn height(&self, point: usize) -> Option<f64> {
        self.series.iter().filter_map(|series| series.value(point)).reduce(|sum, value| sum + value)
    }

    /// Whether nothing is known of a point that is over.
    fn is_missing(&self, point: usize) -> bool {
        point + self.unfinished < self.points() && self.height(point).is_none()
    }

    /// The reference line and its height, if it is drawn.
    fn drawn_reference(&self, highest: f64) -> Option<&Reference> {
        self.reference
            .as_ref()
            .filter(|line| line.value.is_finite() && line.value >= 0.0 && line.value <= highest * REACH)
    }

    pub(super) fn legend(&self) -> Legend {
        let names = self.series.iter().enumerate();
        let mut entries: Vec<_> =
            names.map(|(index, series)| Entry::new(Shape::Area, &class(index), &series.name)).collect();
        if let Some(reference) = &self.reference {
            entries.push(Entry::new(Shape::Line, "line reference", &reference.label));
        }
        if (0..self.unfinished)
            .any(|back| back < self.points() && self.height(self.points() - 1 - back).is_some())
        {
            entries.push(Entry::new(Shape::Area, "bar unfinished", UNFINISHED));
        }
        if !self.missing().is_empty() {
            entries.push(Entry::new(Shape::Area, "missing", "Not known"));
        }
        Legend::new(entries)
    }

    pub(super) fn plot<'a>(&'a self, id: &'a str) -> Plot<'a> {
        let highest = (0..self.points()).filter_map(|point| self.height(point)).fold(0.0, f64::max);
        let reference = self.drawn_reference(highest);
        let scale = self.y.scale([highest].into_iter().chain(reference.map(|line| line.value)));
        let mut plot = Plot::new(id, &self.x, &self.y, scale);
        plot.class = if self.points() < DENSE { "" } else { "dense" };
        let mut missing = String::new();
        self.missing().into_iter().for_each(|point| column(&mut missing, point));
        plot.mark("missing", missing);
        for index in 0..self.series.len() {
            let finished = self.points().saturating_sub(self.unfinished);
            plot.mark(class(index), self.parts(index, scale, 0..finished));
            let unfinished = self.parts(index, scale, finished..self.points());
            plot.mark(format!("{} unfinished", class(index)), unfinished);
        }
        if let Some(line) = reference {
            plot.mark("line reference", level(scale, line.value, self.points()));
            plot.note(&line.label, f64::from(down(scale, line.value)) / 10.0, "reference");
        }
        if (0..self.points()).all(|point| self.height(point).is_none()) {
            plot.say_nothing();
        }
        plot
    }

    /// Draws a part of every bar.
    fn parts(&self, index: usize, scale: Scale, points: std::ops::Range<usize>) -> String {
        let mut path = String::new();
        for point in points {
            let below: f64 = self.series[..index].iter().filter_map(|series| series.value(point)).sum();
            if let Some(value) = self.series[index].value(point).filter(|&value| value > 0.0) {
                bar(&mut path, scale, (point, self.points()), below, below + value);
            }
        }
        path
    }

    /// The points that are marked as not known: none where nothing at all is known, of which words tell.
    fn missing(&self) -> Vec<usize> {
        let missing: Vec<_> = (0..self.points()).filter(|&point| self.is_missing(point)).collect();
        if missing.len() + self.unfinished < self.points() { missing } else { Vec::new() }
    }
}

fn class(index: usize) -> String {
    format!("bar s{}", index % 6 + 1)
}
