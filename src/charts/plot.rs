//! A plot: marks over an axis of points, and the axis of their values.

use askama::Template;

use super::axis::{Label, XAxis, YAxis};
use super::marks::{HEIGHT, POINT, whole};
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
    pub(super) id: &'a str,
    /// The class of the plot, beside `plot`.
    pub(super) class: &'static str,
    pub(super) x_title: &'a str,
    pub(super) y_title: &'a str,
    /// The labels below.
    pub(super) labels: Vec<Label>,
    /// The labels on the left.
    pub(super) ticks: Vec<Label>,
    /// How many points there are from the left to the right, and from the top to the bottom.
    pub(super) points: (usize, usize),
    /// The size of the drawing, in its own units.
    pub(super) size: (usize, usize),
    /// The lines behind the marks.
    pub(super) grid: String,
    pub(super) marks: Vec<Mark>,
    pub(super) notes: Vec<Note>,
    /// The names of lines, on the right.
    pub(super) ends: Vec<Label>,
}

impl<'a> Plot<'a> {
    /// Creates a plot of values over points, without marks.
    pub(super) fn new(id: &'a str, x: &'a XAxis, y: &'a YAxis, scale: Scale) -> Self {
        let ticks = y.shown(scale);
        let width = x.labels.len().max(1) * POINT;
        // At 0 there is the axis.
        let lines: Vec<_> =
            ticks.iter().skip(1).map(|tick| format!("M0 {}h{width}", whole(tick.at / 100.0))).collect();
        Self {
            id,
            class: "",
            x_title: &x.title,
            y_title: &y.title,
            labels: x.shown(),
            ticks,
            points: (x.labels.len(), 1),
            size: (width, HEIGHT.into()),
            grid: lines.concat(),
            marks: Vec::new(),
            notes: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Adds marks, unless there are none.
    pub(super) fn mark(&mut self, class: impl Into<String>, path: String) {
        if !path.is_empty() {
            self.marks.push(Mark { class: class.into(), path });
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

    /// The width that the labels of values need, in ems.
    fn tick_width(&self) -> String {
        ems(self.ticks.iter().map(|tick| tick.text.as_str()))
    }

    fn end_width(&self) -> String {
        ems(self.ends.iter().map(|end| end.text.as_str()))
    }
}

/// Returns the width that the longest of texts needs at most, in ems.
#[expect(clippy::cast_precision_loss, reason = "these are short texts")]
fn ems<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let longest = texts.map(|text| text.chars().count()).max().unwrap_or_default();
    format!("{:.2}", longest as f64 * 0.56 + 0.5)
}
