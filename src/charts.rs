//! Charts, rendered on the server as SVG inside HTML: the same in a page, on paper and behind a link, with no script.
//!
//! A page builds a [`Figure`] from a chart, the words around it and the table behind it, and writes it into its template. Marks are
//! drawn in an SVG that stretches with the page; texts are HTML, or stand in SVGs of their own that do not stretch, so that they have
//! the size of the page's text on every screen. Colours are CSS variables of `templates/assets/charts.css`.

mod axis;
mod bars;
mod figure;
mod funnel;
mod heat;
mod legend;
mod line;
mod marks;
mod plot;
mod scale;
mod sparkline;

pub use axis::{Unit, XAxis, YAxis};
pub use bars::{Reference, StackedBars};
pub use figure::{Chart, Figure, Heading, Table};
pub use funnel::{Funnel, Step};
pub use heat::HeatMap;
pub use line::LineChart;
pub use plot::Series;
pub use sparkline::Sparkline;

#[cfg(test)]
mod tests;
