//! What marks mean.

use askama::Template;

/// How a mark looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A line from the left to the right.
    Line,
    /// A filled square.
    Area,
}

/// A mark, and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) shape: Shape,
    /// The classes of the mark.
    pub(super) class: String,
    pub(super) text: String,
}

/// The legend of a chart; see `templates/charts/legend.html`.
#[derive(Template)]
#[template(path = "charts/legend.html")]
pub(super) struct Legend(Vec<Entry>);

/// What unfinished points are called.
pub(super) const UNFINISHED: &str = "Not over yet";

impl Legend {
    /// Creates a legend; none of one entry only, which the title of the chart explains.
    pub(super) fn new(entries: Vec<Entry>) -> Self {
        Self(if entries.len() > 1 { entries } else { Vec::new() })
    }
}

impl Entry {
    pub(super) fn new(shape: Shape, class: &str, text: &str) -> Self {
        Self { shape, class: class.to_owned(), text: text.to_owned() }
    }
}
