//! A chart with its title, its legend, and the table behind it.

use std::fmt;

use askama::Template;
use askama::filters::HtmlSafe;

use super::legend::Legend;
use super::{Funnel, HeatMap, LineChart, StackedBars};

/// A chart, and everything a reader needs who sees it, hears it, or wants its figures. A template writes it with `{{ figure }}`.
#[derive(Template)]
#[template(path = "charts/figure.html")]
pub struct Figure {
    /// The id of its element, from which those of its parts are made: a word of letters, digits and hyphens, of which a page has one.
    pub id: String,
    /// How deep its title is in the page.
    pub heading: Heading,
    /// What it shows, in a sentence: `312 conversations, 12 % more than the four weeks before`.
    pub title: String,
    /// What there is to see, for those who do not: the range, the highest and the latest value.
    pub summary: String,
    /// Where its figures are as CSV.
    pub csv: Option<String>,
    /// The chart.
    pub chart: Chart,
    /// The figures: one row for each point of the chart, in the same order; of a heat map a row for each day, of 24 figures.
    pub table: Table,
}

/// The level of a heading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heading {
    /// `h2`: of a section of the page.
    H2,
    /// `h3`: within such a section.
    H3,
}

/// A chart of any kind.
#[derive(Debug, Clone)]
pub enum Chart {
    /// Lines over time.
    Line(LineChart),
    /// Stacked bars over time.
    Bars(StackedBars),
    /// The hours of the week.
    Heat(Box<HeatMap>),
    /// Steps, of which each has fewer than the one before.
    Funnel(Funnel),
}

/// Figures as texts. The first column heads the rows.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// What the figures are.
    pub caption: String,
    /// The heads of its columns, with units.
    pub head: Vec<String>,
    /// Its rows, each as long as `head`.
    pub rows: Vec<Vec<String>>,
}

impl HtmlSafe for Figure {}

impl fmt::Display for Heading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::H2 => "h2",
            Self::H3 => "h3",
        })
    }
}

impl Chart {
    /// What the script, and the style, tell charts apart by.
    fn kind(&self) -> &'static str {
        match self {
            Self::Line(_) => "line",
            Self::Bars(_) => "bars",
            Self::Heat(_) => "heat",
            Self::Funnel(_) => "funnel",
        }
    }

    fn legend(&self) -> Legend {
        match self {
            Self::Line(chart) => chart.legend(),
            Self::Bars(chart) => chart.legend(),
            Self::Heat(chart) => chart.legend(),
            Self::Funnel(_) => Legend::new(Vec::new()),
        }
    }

    /// Renders the chart itself.
    fn drawing(&self, id: &str) -> String {
        let drawing = match self {
            Self::Line(chart) => chart.plot(id).render(),
            Self::Bars(chart) => chart.plot(id).render(),
            Self::Heat(chart) => chart.plot(id).render(),
            Self::Funnel(chart) => chart.drawing().render(),
        };
        drawing.expect("its fields are plain text")
    }
}
