//! Pages of lists: the numbers in query strings, and where a page ends.

use std::ops::RangeInclusive;

use super::error::ApiError;
use crate::shape::Shape;

/// Parses the number of entries of a page, by default 50 and at most 500.
pub(super) fn limit(text: Option<&str>) -> Result<u32, ApiError> {
    number("limit", text, 50, 1..=500)
}

/// Parses the number `name` of a query string; `otherwise` if it is absent.
pub(super) fn number(
    name: &'static str,
    text: Option<&str>,
    otherwise: u32,
    within: RangeInclusive<u32>,
) -> Result<u32, ApiError> {
    let Some(text) = text else { return Ok(otherwise) };
    // `parse` accepts a sign.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| digits && within.contains(number));
    number.ok_or_else(|| {
        let (least, most) = (within.start(), within.end());
        ApiError::InvalidField(name, format!("must be a whole number from {least} to {most}"))
    })
}

/// Shortens what was found with a limit of one more to a page of `limit`. Returns whether more follow.
pub(super) fn cut<T>(found: &mut Vec<T>, limit: u32) -> bool {
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    more
}

/// Returns the schema of [`limit`].
pub(super) fn limit_shape() -> Shape {
    number_shape(50, 1..=500).about("How many entries to return at most")
}

/// Returns the schema of a [`number`].
pub(super) fn number_shape(otherwise: u32, within: RangeInclusive<u32>) -> Shape {
    let (least, most) = within.into_inner();
    Shape::whole(least.into()..=most.into()).by_default(otherwise)
}
