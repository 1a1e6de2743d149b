//! Times as databases and their tools write them.

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Timelike, Utc};

/// Parses a time in RFC 3339 or as Postgres and SQLite write it, such as `2024-01-15 10:30:00.123456+01`; without an offset it is in UTC.
/// Digits beyond a microsecond are cut off. A leap second is folded into the second before it, as by [`crate::clock::parse_timestamp`].
pub(super) fn parse(text: &str) -> Option<DateTime<Utc>> {
    let (date, rest) = text.trim().split_at_checked(10)?;
    let rest = rest.strip_prefix([' ', 'T', 't'])?;
    let zone_at = rest.find(['Z', 'z', '+', '-', ' ']).unwrap_or(rest.len());
    let (time, zone) = rest.split_at(zone_at);
    let local = local(date, time)?;
    let at = local.checked_sub_signed(offset(zone.trim())?)?.and_utc();
    Some(at)
}

fn local(date: &str, time: &str) -> Option<NaiveDateTime> {
    let mut parts = date.split('-').map(digits);
    let date = NaiveDate::from_ymd_opt(i32::try_from(parts.next()??).ok()?, parts.next()??, parts.next()??)?;
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut parts = clock.split(':').map(digits);
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let is_leap = second == 60;
    let micros = if is_leap { 999_999 } else { micros(fraction)? };
    let at = date.and_hms_micro_opt(hour, minute, if is_leap { 59 } else { second }, micros)?;
    (parts.next().is_none() && at.nanosecond() < 1_000_000_000).then_some(at)
}

/// Returns the microseconds of the digits after a decimal point.
fn micros(fraction: &str) -> Option<u32> {
    let kept = fraction.get(..fraction.len().min(6))?;
    digits(fraction.get(kept.len()..)?.get(..1).unwrap_or("0"))?;
    let places = u32::try_from(kept.len()).ok()?;
    Some(digits(kept)? * 10_u32.pow(6 - places))
}

/// Returns the offset from UTC that a zone such as `Z`, `+01`, `-0330` or `+05:30` has; none is UTC.
fn offset(zone: &str) -> Option<TimeDelta> {
    let sign = match zone {
        "" | "Z" | "z" | "UTC" => return Some(TimeDelta::zero()),
        _ if zone.starts_with('+') => 1,
        _ if zone.starts_with('-') => -1,
        _ => return None,
    };
    let digits_of = zone.get(1..)?.replace(':', "");
    let seconds = match digits_of.len() {
        2 => digits(&digits_of)? * 3_600,
        4 => digits(&digits_of[..2])? * 3_600 + digits(&digits_of[2..])? * 60,
        _ => return None,
    };
    Some(TimeDelta::seconds(sign * i64::from(seconds)))
}

/// Parses a number of nothing but digits.
fn digits(text: &str) -> Option<u32> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::timestamp;

    #[test]
    fn times_of_databases_and_reports_are_read() {
        for (text, expected) in [
            ("2024-01-15 10:30:00.123456", "2024-01-15T10:30:00.123456+00:00"),
            ("2024-01-15 10:30:00", "2024-01-15T10:30:00.000000+00:00"),
            ("2024-01-15T10:30:00.5Z", "2024-01-15T10:30:00.500000+00:00"),
            ("2024-01-15 10:30:00.12345678+01", "2024-01-15T09:30:00.123456+00:00"),
            ("2024-01-15T10:30:00-03:30", "2024-01-15T14:00:00.000000+00:00"),
            ("2024-01-15 10:30:00 +0545", "2024-01-15T04:45:00.000000+00:00"),
            ("2024-01-15 10:30:00 UTC", "2024-01-15T10:30:00.000000+00:00"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.999999+00:00"),
        ] {
            assert_eq!(parse(text).map(timestamp).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_times() {
        for text in [
            "",
            "now",
            "infinity",
            "2024-01-15",
            "2024-01-15 10:30",
            "2024-13-15 10:30:00",
            "2024-02-30 10:30:00",
            "2024-01-15 24:30:00",
            "2024-01-15 10:30:00.",
            "2024-01-15 10:30:00.1x",
            "2024-01-15 10:30:00 CET",
            "2024-01-15 10:30:00+1",
            "15.01.2024 10:30:00",
            "1705314600",
            "2024-01-1５ 10:30:00",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
