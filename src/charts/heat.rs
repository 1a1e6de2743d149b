//! The hours of the week.

use std::fmt::Write as _;

use super::axis::Label;
use super::legend::{Entry, Legend, Shape};
use super::plot::Plot;
use super::scale::Scale;
use crate::business::OpeningHours;
use crate::locale::Locale;

mod opening;

/// The side of a cell, in units of the drawing.
const CELL: usize = 60;

/// How often something happened in each hour of the week: the more often, the stronger the colour, in at most five shades.
#[derive(Debug, Clone)]
pub struct HeatMap {
    /// How often, by weekday (Monday first) and hour of the day.
    pub counts: [[i64; 24]; 7],
    /// The opening hours, drawn as an outline.
    pub open: Option<OpeningHours>,
    /// What is counted, such as `Conversations by weekday and hour, local time`.
    pub title: String,
    /// Whose numbers these are.
    pub locale: Locale,
}

impl HeatMap {
    /// The names of its rows.
    pub const WEEKDAYS: [&'static str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

    #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
    fn scale(&self) -> Scale {
        let highest = self.counts.as_flattened().iter().copied().max().unwrap_or_default();
        Scale::up_to(highest as f64, 1.0)
    }

    /// Returns the shade of a count: 0 for none, then from 1 up.
    #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
    fn shade(scale: Scale, count: i64) -> u32 {
        if count <= 0 {
            return 0;
        }
        (1..scale.steps).find(|&step| count as f64 <= scale.step * f64::from(step)).unwrap_or(scale.steps)
    }

    pub(super) fn legend(&self) -> Legend {
        let scale = self.scale();
        let range = |shade: u32| {
            let end = |step: u32| self.locale.decimal(scale.step * f64::from(step), 0);
            let first = self.locale.decimal(scale.step * f64::from(shade.saturating_sub(1)) + 1.0, 0);
            match (shade, end(shade)) {
                (0, end) => end,
                (_, end) if end == first => end,
                (_, end) => format!("{first}–{end}"),
            }
        };
        let entry = |shade: u32| Entry::new(Shape::Area, &class(shade), &range(shade));
        let mut entries: Vec<_> = (0..=scale.steps).map(entry).collect();
        if self.open.is_some() {
            entries.push(Entry::new(Shape::Area, "opening", "Opening hours"));
        }
        Legend::new(entries)
    }

    pub(super) fn plot<'a>(&'a self, id: &'a str) -> Plot<'a> {
        let mut plot = Plot {
            id,
            class: "heat",
            x_title: "Hour of the day",
            y_title: &self.title,
            labels: hours(),
            ticks: days(),
            points: (24, 7),
            size: (24 * CELL, 7 * CELL),
            grid: String::new(),
            marks: Vec::new(),
            notes: Vec::new(),
            ends: Vec::new(),
        };
        let scale = self.scale();
        for shade in 0..=scale.steps {
            plot.mark(class(shade), self.cells(scale, shade));
        }
        if let Some(open) = &self.open {
            plot.mark("opening halo", opening::outline(open));
            plot.mark("opening", opening::outline(open));
        }
        plot
    }

    /// Draws the cells of a shade; neighbours in a row as one.
    fn cells(&self, scale: Scale, shade: u32) -> String {
        let mut path = String::new();
        for (day, counts) in self.counts.iter().enumerate() {
            for (hour, count) in counts.iter().enumerate() {
                if Self::shade(scale, *count) == shade {
                    let drawn = write!(path, "M{} {}h{CELL}v{CELL}h-{CELL}z", hour * CELL, day * CELL);
                    drawn.expect("a string takes everything");
                }
            }
        }
        path
    }
}

fn class(shade: u32) -> String {
    format!("cell q{shade}")
}

/// Every third hour, of which a phone shows each second.
fn hours() -> Vec<Label> {
    let label = |hour: u8| Label {
        text: hour.to_string(),
        at: f64::from(hour) / 24.0 * 100.0,
        wide: !hour.is_multiple_of(6),
    };
    (0..=24).step_by(3).map(label).collect()
}

fn days() -> Vec<Label> {
    let middle = |row: u8| ((f64::from(row) + 0.5) / 7.0 * 10_000.0).round() / 100.0;
    let names = (0..7).zip(HeatMap::WEEKDAYS);
    names.map(|(row, name)| Label { text: name.to_owned(), at: middle(row), wide: false }).collect()
}
