//! A plot: marks over an axis of points, and the axis of their values.

use askama::Template;

use super::axis::{Label, XAxis, YAxis};
use super::marks::{HEIGHT, POINT};
use super::scale::Scale;

/// The longest names that stand at the ends of lines, in characters; longer ones stand in the legend alone.
const MAX_END_CHARS: usize = 6;

/// The least distance of two names at the ends of lines, in per cent of the height.
const END_DISTANCE: f64 = 8.0;

/// A series of values. One that is `None`, or no number, is not known; one below 0 is drawn as 0.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// What it is called in the legend.
    pub name: String,
    /// A value for each point.
    pub values: Vec<Option<f64>>,
}

impl Series {
    /// Returns a value that can be drawn.
    pub(super) fn value(&self, point: usize) -> Option<f64> {
        self.values
            .get(point)
            .copied()
            .flatten()
            .filter(|value| value.is_finite())
            .map(|value| value.max(0.0))
    }
}

/// Marks of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    /// Its classes.
    pub(super) class: String,
    /// The pattern that fills it on paper: 1, 2, …; 0 for none.
    pub(super) pattern: usize,
    /// The data of its path.
    pub(super) path: String,
}

/// A text among the marks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Note {
    /// What it says.
    pub(super) text: String,
    /// How far it is from the top, in per cent.
    pub(super) at: f64,
    /// Its class.
    pub(super) class: &'static str,
}

/// Everything a plot shows, with places; see `templates/charts/plot.html`.
#[derive(Template)]
#[template(path = "charts/plot.html")]
pub(super) struct Plot<'a> {
    id: &'a str,
    x: &'a XAxis,
    y: &'a YAxis,
    labels: Vec<Label>,
    ticks: Vec<Label>,
    marks: Vec<Mark>,
    notes: Vec<Note>,
    ends: Vec<Label>,
}

impl<'a> Plot<'a> {
    pub(super) fn new(id: &'a str, x: &'a XAxis, y: &'a YAxis, scale: Scale) -> Self {
        let (labels, ticks) = (x.shown(), y.shown(scale));
        Self { id, x, y, labels, ticks, marks: Vec::new(), notes: Vec::new(), ends: Vec::new() }
    }

    /// Adds marks, unless there are none.
    pub(super) fn mark(&mut self, class: impl Into<String>, pattern: usize, path: String) {
        if !path.is_empty() {
            self.marks.push(Mark { class: class.into(), pattern, path });
        }
    }

    pub(super) fn note(&mut self, text: &str, at: f64, class: &'static str) {
        self.notes.push(Note { text: text.to_owned(), at, class });
    }

    /// Says that there is nothing to be seen.
    pub(super) fn say_nothing(&mut self) {
        self.note("No data in this period", 50.0, "nothing");
    }

    /// Writes the names of lines where they end, if these are short. They keep their distance from each other.
    pub(super) fn name_ends(&mut self, mut ends: Vec<(f64, &str)>) {
        if ends.len() < 2 || ends.iter().any(|(_, name)| name.chars().count() > MAX_END_CHARS) {
            return;
        }
        ends.sort_by(|one, other| one.0.total_cmp(&other.0));
        let mut below = -END_DISTANCE;
        for (at, _) in &mut ends {
            *at = at.max(below + END_DISTANCE);
            below = *at;
        }
        // What was pushed out at the bottom moves up again, and the others with it.
        let mut above = 100.0 + END_DISTANCE;
        for (at, _) in ends.iter_mut().rev() {
            *at = at.min(above - END_DISTANCE);
            above = *at;
        }
        let label = |(at, name): (f64, &str)| Label { text: name.to_owned(), at, wide: false };
        self.ends = ends.into_iter().map(label).collect();
    }

    /// The width of the drawing, in its own units. Without points it has that of one.
    fn width(&self) -> usize {
        self.points().max(1) * POINT
    }

    fn points(&self) -> usize {
        self.x.labels.len()
    }

    fn height(&self) -> u16 {
        HEIGHT
    }

    /// The width that the labels of values need, in ems.
    fn tick_width(&self) -> String {
        ems(self.ticks.iter().map(|tick| tick.text.as_str()))
    }

    fn end_width(&self) -> String {
        ems(self.ends.iter().map(|end| end.text.as_str()))
    }

    /// The lines behind the marks, one for each tick but that of 0, which is the axis.
    fn grid(&self) -> String {
        let line = |tick: &Label| format!("M0 {}h{}", super::marks::whole(tick.at / 100.0), self.width());
        self.ticks.iter().skip(1).map(line).collect()
    }

    /// The patterns that are used.
    fn patterns(&self) -> Vec<usize> {
        let mut patterns: Vec<_> =
            self.marks.iter().map(|mark| mark.pattern).filter(|&pattern| pattern > 1).collect();
        patterns.sort_unstable();
        patterns.dedup();
        patterns
    }
}

/// Returns the width that the longest of texts needs at most, in ems.
#[expect(clippy::cast_precision_loss, reason = "these are short texts")]
fn ems<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let longest = texts.map(|text| text.chars().count()).max().unwrap_or_default();
    format!("{:.2}", longest as f64 * 0.56 + 0.5)
}
