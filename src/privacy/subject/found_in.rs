//! Contacts within other texts.

use std::mem;

use super::phone::{is_separator, value};
use super::written::plain;

/// The minimum number of digits of a number that begins like one that is called: with `+` or 0.
const MIN_CALLED_DIGITS: usize = 7;

/// Returns whether a text has an e-mail address in it, or a phone number of at least `min_digits` digits. Dates are no numbers, nor is an
/// `@` before a date an address, as names of models have them.
#[must_use]
pub fn has_contact(text: &str, min_digits: usize) -> bool {
    // Nearly all texts are words, or names of models.
    let may_be_email = text.bytes().any(|byte| matches!(byte, b'@' | b'%') || !byte.is_ascii());
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    if !may_be_email && digits < min_digits.min(MIN_CALLED_DIGITS) {
        return false;
    }
    let text = decoded(text);
    // An Amazon resource name has the number of an account, which is no person's.
    has_email(&text) || !text.starts_with("arn:") && has_phone(&text, min_digits)
}

/// Returns whether a text is meant as an e-mail address, readable or not: no id has an `@` in it, nor a link to an address.
pub(super) fn is_like_an_address(text: &str) -> bool {
    let text = decoded(text).to_lowercase();
    ["@", "mailto:", "[at]", "(at)"].iter().any(|sign| text.contains(sign))
}

/// Returns whether a text is meant as a phone number, readable or not: it has one beside other words or signs, which ids do not have.
pub(super) fn is_like_a_number(text: &str) -> bool {
    let text = decoded(text);
    text.trim().contains(|c: char| c.is_whitespace() || "():,;".contains(c))
        && has_phone(&text, MIN_CALLED_DIGITS)
}

/// Returns a text in plain form, with the signs of addresses as they are meant.
fn decoded(text: &str) -> String {
    plain(text).replace("%25", "%").replace("%40", "@").replace('\u{3002}', ".")
}

fn has_email(text: &str) -> bool {
    let text: String = text.replace(" @", "@").replace("@ ", "@");
    text.match_indices('@').any(|(at, _)| {
        let has_name = text[..at].ends_with(|c: char| !c.is_whitespace());
        let host = text[at + 1..].split(|c: char| !(c.is_alphanumeric() || c == '.' || c == '-')).next();
        let mut domains = host.into_iter().flat_map(|host| host.split('.').skip(1));
        has_name && domains.any(|domain| domain.chars().take_while(|c| c.is_alphabetic()).count() > 1)
    })
}

fn has_phone(text: &str, min_digits: usize) -> bool {
    let is_within = |c: char| value(c).is_some() || is_separator(c) || "+,:_|~".contains(c);
    text.split(|c| !is_within(c)).flat_map(without_dates).any(|run| {
        let digits = run.chars().filter(|c| value(*c).is_some()).count();
        let begins = run.find(|c| c == '+' || value(c).is_some()).map(|at| &run[at..]);
        let is_called =
            begins.is_some_and(|run| run.starts_with('+') || run.chars().next().and_then(value) == Some(0));
        digits >= min_digits || is_called && digits >= MIN_CALLED_DIGITS
    })
}

/// Returns the parts of a run of digits and separators between dates such as 2026-11-27 and 20261127.
fn without_dates(run: &str) -> Vec<String> {
    let chars: Vec<char> = run.chars().collect();
    let (mut parts, mut part, mut at) = (Vec::new(), String::new(), 0);
    while at < chars.len() {
        let begins = at == 0 || value(chars[at - 1]).is_none();
        if let Some(length) = date_length(&chars[at..]).filter(|_| begins) {
            parts.push(mem::take(&mut part));
            at += length;
        } else {
            part.push(chars[at]);
            at += 1;
        }
    }
    parts.push(part);
    parts
}

/// Returns the length of the date at the start of a text.
fn date_length(chars: &[char]) -> Option<usize> {
    let number = |from: usize, length: usize| {
        let digits = chars.get(from..from + length)?;
        digits.iter().try_fold(0, |number, c| Some(number * 10 + value(*c)?))
    };
    let separator = usize::from(chars.get(4).is_some_and(|c| value(*c).is_none()));
    let (month, day) = (4 + separator, 6 + 2 * separator);
    let is_date = (1900..2100).contains(&number(0, 4)?)
        && (1..=12).contains(&number(month, 2)?)
        && (1..=31).contains(&number(day, 2)?);
    let ends = chars.get(day + 2).is_none_or(|c| value(*c).is_none());
    (is_date && ends).then_some(day + 2)
}
