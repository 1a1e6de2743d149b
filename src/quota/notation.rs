//! Parsing of quotas in the notation of flask-limiter: `100 per hour`, `100/hour`, `5 per 10 minutes`,
//! several windows separated by `;`, `,` or `|`. The grammar is that of the `limits` library's rate limit
//! strings.

use std::str::FromStr;

use strum::VariantArray;

use super::{MAX_WINDOWS, Quota, Unit, Window};

/// The maximum length of a window: ten years, as in flask-limiter.
const MAX_SECONDS: i64 = 10 * 12 * 30 * 86_400;

/// The error of parsing a [`Quota`] from any other text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a quota such as \"100 per hour\", \"100/hour\" or \"200 per day;50 per hour\"")]
pub struct InvalidQuota;

impl FromStr for Quota {
    type Err = InvalidQuota;

    fn from_str(text: &str) -> Result<Self, InvalidQuota> {
        let windows: Vec<Window> =
            text.split([';', ',', '|']).map(window).collect::<Option<_>>().ok_or(InvalidQuota)?;
        if windows.len() > MAX_WINDOWS {
            return Err(InvalidQuota);
        }
        Ok(Self(windows))
    }
}

/// Parses `<count> per <unit>` or `<count>/<unit>`, with an optional whole number before the unit.
fn window(text: &str) -> Option<Window> {
    let text = text.trim().to_ascii_lowercase();
    let (count, rest) = leading_number(&text)?;
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('/').or_else(|| rest.strip_prefix("per"))?.trim_start();
    let (multiple, unit) = leading_number(rest).unwrap_or((1, rest));
    let name = unit.trim_start();
    let name = name.strip_suffix('s').unwrap_or(name);
    let unit = Unit::VARIANTS.iter().copied().find(|unit| unit.name() == name)?;
    let longest = MAX_SECONDS / unit.seconds();
    (count > 0 && (1..=longest).contains(&multiple.into())).then_some(Window { limit: count, multiple, unit })
}

fn leading_number(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_flask_limiter_is_parsed() {
        for (text, read) in [
            ("100 per hour", "100 per 1 hour"),
            ("100/hour", "100 per 1 hour"),
            ("100per1minute", "100 per 1 minute"),
            ("5 PER 10 Minutes", "5 per 10 minute"),
            ("200 per day;50 per hour", "200 per 1 day; 50 per 1 hour"),
            ("1/second, 10/minute | 100/month", "1 per 1 second; 10 per 1 minute; 100 per 1 month"),
        ] {
            assert_eq!(text.parse::<Quota>().unwrap().to_string(), read, "{text}");
        }
    }

    #[test]
    fn anything_else_than_a_quota_is_rejected() {
        for text in [
            "",
            "100",
            "per hour",
            "0/hour",
            "-1/hour",
            "5/0 minutes",
            "5/fortnight",
            "5/hour;",
            "1 per 11 years",
            "1 per 4294967295 years",
            "1/s;1/s",
            "99999999999/day",
        ] {
            assert_eq!(text.parse::<Quota>(), Err(InvalidQuota), "{text}");
        }
        assert_eq!(["1/day"; MAX_WINDOWS + 1].join(";").parse::<Quota>(), Err(InvalidQuota));
    }
}
