//! Paths of marks, in the units of a drawing: ten for each point to the right, and a thousand from the top to the bottom.
//!
//! Whole numbers keep paths short: a year of days is a few kilobytes.

use std::fmt::Write as _;

use super::plot::Series;
use super::scale::Scale;

/// The width of a point.
pub(super) const POINT: usize = 10;

/// The height of a drawing.
pub(super) const HEIGHT: u16 = 1_000;

/// The least height of a mark: about a pixel, so that what there is little of does not look like nothing.
const LEAST: u16 = 4;

/// The gap between two bars.
const GAP: usize = 2;

/// Returns a part of the height in whole units.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is from 0 to 1000")]
pub(super) fn whole(part: f64) -> u16 {
    (part.clamp(0.0, 1.0) * f64::from(HEIGHT)).round() as u16
}

/// Returns how far from the top a value is.
pub(super) fn down(scale: Scale, value: f64) -> u16 {
    HEIGHT - whole(scale.position(value))
}

/// Draws the line of a series from point `from` to before `to`, with gaps where values are not known. A point with a gap on both
/// sides is a dot.
fn line(series: &Series, scale: Scale, from: usize, to: usize) -> String {
    let mut path = String::new();
    let mut open = false;
    for point in from..to {
        let Some(value) = series.value(point) else {
            open = false;
            continue;
        };
        let (x, y) = (point * POINT + POINT / 2, down(scale, value));
        let alone = !open && (point + 1 == to || series.value(point + 1).is_none());
        // A line of no length is drawn as a dot by its round ends.
        let drawn = match (open, alone) {
            (true, _) => write!(path, " {x} {y}"),
            (false, true) => write!(path, "M{x} {y}h0"),
            (false, false) => write!(path, "M{x} {y}L"),
        };
        drawn.expect("a string takes everything");
        open = !alone;
    }
    path
}

/// Draws a series as two lines: of its points that are over, and from the last of these to the others.
pub(super) fn lines(series: &Series, scale: Scale, finished: usize, points: usize) -> [String; 2] {
    let joined = finished > 0 && series.value(finished - 1).is_some() && series.value(finished).is_some();
    let begin = finished - usize::from(joined);
    [line(series, scale, 0, finished), line(series, scale, begin, points)]
}

/// Draws a bar at a point, between two values.
pub(super) fn bar(path: &mut String, scale: Scale, point: usize, low: f64, high: f64) {
    let bottom = down(scale, low).max(LEAST);
    let height = bottom.saturating_sub(down(scale, high)).max(LEAST);
    let (x, width) = (point * POINT + GAP / 2, POINT - GAP);
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
