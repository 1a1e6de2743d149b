//! Paths of marks, in the units of a drawing: ten for each point to the right, and a thousand from the top to the bottom.
//!
//! Whole numbers keep paths short: a year of days is a few kilobytes.

use std::fmt::Write as _;
use std::ops::Range;

use super::plot::Series;
use super::scale::Scale;

/// The width of a point.
pub(super) const POINT: usize = 10;

/// The height of a drawing.
pub(super) const HEIGHT: u16 = 1_000;

/// The least height of a mark: about a pixel, so that what there is little of does not look like nothing.
const LEAST: u16 = 4;

/// The gap between two bars, and from how many points on there is none, as it would be less than a pixel.
const GAP: usize = 2;
pub(super) const DENSE: usize = 100;

/// Returns a part of the height in whole units.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is from 0 to 1000")]
pub(super) fn whole(part: f64) -> u16 {
    (part.clamp(0.0, 1.0) * f64::from(HEIGHT)).round() as u16
}

/// Returns how far from the top a value is.
pub(super) fn down(scale: Scale, value: f64) -> u16 {
    HEIGHT - whole(scale.position(value))
}

/// A series as it is drawn.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    /// The line of its points that are over, with gaps where values are not known.
    pub(super) over: String,
    /// The line from the last of these to the others.
    pub(super) unfinished: String,
    /// Points with a gap on both sides. They are lines of no length, drawn as dots by their round ends.
    pub(super) dots: String,
}

/// Draws a series of `points`, of which the first `finished` are over.
pub(super) fn lines(series: &Series, scale: Scale, finished: usize, points: usize) -> Lines {
    let joined = finished > 0 && series.value(finished - 1).is_some() && series.value(finished).is_some();
    let begin = finished - usize::from(joined);
    let mut lines = Lines::default();
    // The last of the points that are over has no gap after it if the unfinished line begins there.
    let end = if joined { finished + 1 } else { finished };
    line(&mut lines.over, &mut lines.dots, series, scale, (0..finished, end));
    line(&mut lines.unfinished, &mut lines.dots, series, scale, (begin..points, points));
    lines
}

/// Draws the line of a range of points, of which the next go on until before `end`.
fn line(
    path: &mut String,
    dots: &mut String,
    series: &Series,
    scale: Scale,
    (points, end): (Range<usize>, usize),
) {
    let known = |point: usize| point < end && series.value(point).is_some();
    let mut open = false;
    for point in points.clone() {
        let Some(value) = series.value(point) else {
            open = false;
            continue;
        };
        let (x, y) = (point * POINT + POINT / 2, down(scale, value));
        let drawn = match (open, known(point + 1)) {
            (true, _) => write!(path, " {x} {y}"),
            (false, false) => write!(dots, "M{x} {y}h0"),
            (false, true) if point + 1 == points.end => Ok(()),
            (false, true) => write!(path, "M{x} {y}L"),
        };
        drawn.expect("a string takes everything");
        open = known(point + 1);
    }
}

/// Draws a bar at one of `points`, between two values.
pub(super) fn bar(path: &mut String, scale: Scale, (point, points): (usize, usize), low: f64, high: f64) {
    let bottom = down(scale, low).max(LEAST);
    let height = bottom.saturating_sub(down(scale, high)).max(LEAST);
    let gap = if points < DENSE { GAP } else { 0 };
    let (x, width) = (point * POINT + gap / 2, POINT - gap);
    write!(path, "M{x} {bottom}h{width}v-{height}h-{width}z").expect("a string takes everything");
}

/// Draws the whole height at a point.
pub(super) fn column(path: &mut String, point: usize) {
    write!(path, "M{} 0h{POINT}v{HEIGHT}h-{POINT}z", point * POINT).expect("a string takes everything");
}

/// Draws a line from the left to the right.
pub(super) fn level(scale: Scale, value: f64, points: usize) -> String {
    format!("M0 {}h{}", down(scale, value), points.max(1) * POINT)
}
