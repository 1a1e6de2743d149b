//! Phone numbers as people write them. Which numbers are the same is decided by the data of Google's libphonenumber, which follow
//! ITU-T E.164 and the national numbering plans.

use std::collections::HashSet;

use phonenumber::country::Id;
use phonenumber::metadata::DATABASE;
use phonenumber::{Mode, PhoneNumber, is_valid, parse};

use super::written::plain;

/// The number of digits of a phone number (E.164 allows up to 15).
pub(super) const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// The least number of digits that, without a `+`, may begin with a country code: national numbers that are not written with a
/// leading 0 are shorter.
const MIN_INTERNATIONAL: usize = 11;

/// The scheme of a link to a number (RFC 3966).
const SCHEME: &str = "tel:";

/// What introduces an extension, apart from RFC 3966's `;ext=`: the marks that libphonenumber knows, and the German ones.
const EXTENSIONS: [&str; 12] =
    ["extension", "durchwahl", "apparat", "anexo", "extn", "ext", "app", "int", "доб", "dw", "x", "#"];

/// Parses a number. A number with a country code becomes `+` and digits. One without, and without a default country, stays as its
/// digits.
pub(super) fn one(text: &str, country: Option<Id>) -> Option<String> {
    let text = plain(text).to_lowercase();
    let written = Written::read(text.trim())?;
    if written.international {
        return e164(&parse(None, format!("+{}", written.digits)).ok()?);
    }
    let national = country.and_then(|country| parse(Some(country), &written.digits).ok());
    match national {
        Some(number) if is_valid(&number) => e164(&number),
        national => {
            let bare = Some(&written.digits).filter(|digits| may_have_country_code(digits));
            let international = bare.and_then(|digits| e164(&parse(None, format!("+{digits}")).ok()?));
            international.or_else(|| e164(&national?)).or(Some(written.digits))
        }
    }
}

/// Returns every number in a text, in order and each once.
pub(super) fn all(text: &str, country: Option<Id>) -> Vec<String> {
    let text = plain(text).to_lowercase();
    let words = |c: char| !(c == '+' || value(c).is_some() || is_separator(c));
    let mut found: Vec<String> = Vec::new();
    for run in text.split(words) {
        let parts = run.split('+').enumerate();
        let parts = parts.map(|(index, part)| if index == 0 { part.to_owned() } else { format!("+{part}") });
        for part in parts {
            // Two numbers may be separated by a slash, which also occurs within one.
            let numbers = match one(&part, country) {
                Some(number) => vec![number],
                None => part.split('/').filter_map(|part| one(part, country)).collect(),
            };
            found.extend(numbers);
        }
    }
    let mut seen = HashSet::new();
    found.retain(|number| seen.insert(number.clone()));
    found
}

/// Returns the other texts under which versions before this one, or installations with another default country, know `number`.
pub(super) fn also_known_as(number: &str, country: Option<Id>) -> Vec<String> {
    let Some(parsed) = number.strip_prefix('+').and_then(|_| parse(None, number).ok()) else {
        return Vec::new();
    };
    let code = parsed.code().value();
    let national = number[1..].strip_prefix(&code.to_string()).unwrap_or_default().to_owned();
    let mut texts = vec![number[1..].to_owned()];
    let home = country
        .and_then(|country| DATABASE.by_id(country.as_ref()))
        .filter(|home| home.country_code() == code);
    let trunk = |meta: &phonenumber::Metadata| meta.national_prefix().unwrap_or_default().to_owned();
    let trunks = DATABASE.by_code(&code).unwrap_or_default();
    if let Some(trunk) = trunks.first().map(|meta| trunk(meta)).filter(|trunk| !trunk.is_empty()) {
        texts.push(format!("+{code}{trunk}{national}"));
    }
    if let Some(home) = home {
        texts.extend([format!("{}{national}", trunk(home)), national]);
    }
    texts
}

/// Returns whether two numbers differ only by their country, or one of them has none.
pub(super) fn is_same_abroad(one: &str, other: &str) -> bool {
    let national = |number: &str| {
        let code = parse(None, number).ok().map(|parsed| format!("+{}", parsed.code().value()));
        let national = code.and_then(|code| number.strip_prefix(&code).map(str::to_owned));
        national.unwrap_or_else(|| number.trim_start_matches('0').to_owned())
    };
    national(one) == national(other)
}

/// Returns whether a text is written as a phone number, readable or not.
pub(super) fn is_like_a_number(text: &str) -> bool {
    let text = plain(text).to_lowercase();
    let text = text.trim();
    let digits = text.chars().filter(|c| value(*c).is_some()).count();
    let is_marked = text.starts_with(SCHEME) || text.trim_start_matches('(').starts_with('+');
    let is_bare = DIGITS.contains(&digits) && text.chars().all(|c| value(c).is_some() || is_separator(c));
    is_marked && digits > 0 || is_bare
}

/// A number, split into what its digits are and what they begin with.
struct Written {
    /// Whether the digits begin with a country code.
    international: bool,
    digits: String,
}

impl Written {
    fn read(text: &str) -> Option<Self> {
        let text = text.strip_prefix(SCHEME).unwrap_or(text);
        let text = without_extension(text.split(';').next().unwrap_or_default()).trim();
        let (prefix, rest) = match text.split_once('+') {
            Some((before, rest)) if before.trim_matches(['(', ' ']).is_empty() => (true, rest),
            Some(_) => return None,
            None => (false, text),
        };
        if !rest.chars().all(|c| value(c).is_some() || is_separator(c)) {
            return None;
        }
        let digits: String =
            rest.chars().filter_map(value).filter_map(|digit| char::from_digit(digit, 10)).collect();
        // The prefix for calls abroad in most countries (ITU-T E.123).
        let (international, digits) = match digits.strip_prefix("00").filter(|_| !prefix) {
            Some(rest) => (true, rest.to_owned()),
            None => (prefix, digits),
        };
        DIGITS.contains(&digits.len()).then_some(Self { international, digits })
    }
}

/// Returns a number up to its extension.
fn without_extension(text: &str) -> &str {
    let is_extension = |mark: &&str| {
        let (number, extension) = text.rsplit_once(*mark)?;
        let inner = extension.trim_matches(|c: char| c.is_whitespace() || matches!(c, '.' | ':' | '-' | ')'));
        let fits = (1..=7).contains(&inner.len()) && inner.chars().all(|c| value(c).is_some());
        fits.then_some(number.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '(' | ',' | '.')))
    };
    EXTENSIONS.iter().find_map(is_extension).unwrap_or(text)
}

/// Returns the value of a decimal digit of the scripts that keyboards have.
pub(super) fn value(c: char) -> Option<u32> {
    let zero = match c {
        '0'..='9' => '0',
        '\u{660}'..='\u{669}' => '\u{660}',
        '\u{6f0}'..='\u{6f9}' => '\u{6f0}',
        '\u{966}'..='\u{96f}' => '\u{966}',
        '\u{9e6}'..='\u{9ef}' => '\u{9e6}',
        _ => return None,
    };
    Some(u32::from(c) - u32::from(zero))
}

/// Returns whether a character may separate the digits of a number.
pub(super) fn is_separator(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '-' | '.' | '(' | ')' | '/' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{b7}')
}

fn may_have_country_code(digits: &str) -> bool {
    digits.len() >= MIN_INTERNATIONAL && !digits.starts_with('0')
}

fn e164(number: &PhoneNumber) -> Option<String> {
    let text = number.format().mode(Mode::E164).to_string();
    DIGITS.contains(&(text.len() - 1)).then_some(text)
}
