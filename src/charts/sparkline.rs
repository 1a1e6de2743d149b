//! A line the size of a word.

use askama::Template;
use askama::filters::HtmlSafe;

use super::marks::{HEIGHT, Lines, POINT, lines};
use super::plot::Series;
use super::scale::Scale;

/// A line without axes, from 0 to its highest value. A template writes it with `{{ sparkline }}`.
#[derive(Debug, Clone, Default)]
pub struct Sparkline {
    /// The values; the line has a gap where one is not known.
    pub values: Vec<Option<f64>>,
    /// How many at the end are not over yet.
    pub unfinished: usize,
    /// What it shows, in words: `From 3 to 12 conversations a day`. Empty where the text beside it says so already.
    pub alternative: String,
}

#[derive(Template)]
#[template(path = "charts/sparkline.html")]
struct Drawing<'a> {
    alternative: &'a str,
    width: usize,
    height: u16,
    lines: Lines,
}

impl HtmlSafe for Sparkline {}

impl std::fmt::Display for Sparkline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let points = self.values.len();
        let series = Series { name: String::new(), values: self.values.clone() };
        let highest = (0..points).filter_map(|point| series.value(point)).fold(0.0, f64::max);
        let finished = points.saturating_sub(self.unfinished);
        let lines = lines(&series, Scale::to(highest), finished, points);
        let width = points.max(1) * POINT;
        Drawing { alternative: &self.alternative, width, height: HEIGHT, lines }.fmt(f)
    }
}
