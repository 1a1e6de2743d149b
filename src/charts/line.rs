//! Lines over time.

use super::axis::{XAxis, YAxis};
use super::legend::{Entry, Legend, Shape, UNFINISHED};
use super::marks::{Lines, down, lines};
use super::plot::{Plot, Series};

/// Lines of several series, such as percentiles day by day, over an axis from 0.
///
/// Where a value is `None` the line has a gap.
#[derive(Debug, Clone)]
pub struct LineChart {
    /// The points.
    pub x: XAxis,
    /// What the values are.
    pub y: YAxis,
    /// The lines, at most six; a short name (up to six characters) also stands where its line ends.
    pub series: Vec<Series>,
    /// How many points at the end are not over yet; the line to them is dashed.
    pub unfinished: usize,
}

impl LineChart {
    /// How many of the points are over.
    fn finished(&self) -> usize {
        self.x.labels.len().saturating_sub(self.unfinished)
    }

    pub(super) fn legend(&self) -> Legend {
        let names = self.series.iter().enumerate();
        let mut entries: Vec<_> =
            names.map(|(index, series)| Entry::new(Shape::Line, &class(index), &series.name)).collect();
        if self.unfinished > 0 {
            entries.push(Entry::new(Shape::Line, "line unfinished", UNFINISHED));
        }
        Legend::new(entries)
    }

    pub(super) fn plot<'a>(&'a self, id: &'a str) -> Plot<'a> {
        let points = self.x.labels.len();
        let values =
            self.series.iter().flat_map(|series| (0..points).filter_map(|point| series.value(point)));
        let scale = self.y.scale(values);
        let mut plot = Plot::new(id, &self.x, &self.y, scale);
        let mut ends = Vec::new();
        // The first line is drawn last, so that it is not hidden by others.
        for (index, series) in self.series.iter().enumerate().rev() {
            let Lines { over, unfinished, dots } = lines(series, scale, self.finished(), points);
            plot.mark(class(index), over);
            plot.mark(format!("{} unfinished", class(index)), unfinished);
            plot.mark(format!("{} dot", class(index)), dots);
            if let Some(last) = (0..points).rev().find_map(|point| series.value(point)) {
                ends.push((f64::from(down(scale, last)) / 10.0, series.name.as_str()));
            }
        }
        if ends.is_empty() {
            plot.say_nothing();
        }
        plot.name_ends(ends);
        plot
    }
}

fn class(index: usize) -> String {
    format!("line s{}", index % 6 + 1)
}
