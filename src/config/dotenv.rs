//! Reads `.env` files.
//!
//! The syntax is that of `dotenvy`, with two differences: only `${NAME}` is replaced, and only if `NAME` is set; and a value
//! that reads as shorter than it is written says so, so that no secret is cut without notice.

use std::collections::HashMap;
use std::path::Path;

/// A line that sets a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assignment {
    /// The number of its (first) line, from 1.
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) value: String,
    /// Why the value is not what a reader of the file may take it for.
    pub(super) doubt: Option<&'static str>,
}

/// A line that is neither blank, nor a comment, nor `NAME=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Malformed {
    /// Its number, from 1.
    pub(super) line: usize,
    /// Its first word, which may be the name of a variable.
    pub(super) name: String,
    /// What is wrong with it.
    pub(super) what: &'static str,
}

const COMMENT: &str = "has a # that begins a comment; put the value in single quotes if the # belongs to it";
const REFERENCE: &str =
    "refers to a variable that is not set; put the value in single quotes if it is meant as it is";
const EMPTY_REFERENCE: &str = "refers to a variable that is empty";
const EMPTY: &str = "reads as empty; leave nothing behind the = if there is to be no value";
const UNCLOSED: &str = "has a quote that is not closed";
const AFTER_QUOTE: &str = "has text after the closing quote";
const NOT_ASSIGNMENT: &str = "is not NAME=value";

/// Whether the file at `path` sets the variable `name` to something.
#[must_use]
pub fn sets(path: &Path, name: &str) -> bool {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines = parse(&text, |_| None);
    lines.into_iter().flatten().any(|line| line.name == name && !line.value.trim().is_empty())
}

/// Parses the text of a file. `lookup` returns the value of a variable of the environment, which comes before those of the
/// file.
pub(super) fn parse(
    text: &str,
    lookup: impl Fn(&str) -> Option<String>,
) -> Vec<Result<Assignment, Malformed>> {
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut line, mut known, mut found) = (1, HashMap::<String, String>::new(), Vec::new());
    while !rest.is_empty() {
        let lookup = |name: &str| lookup(name).or_else(|| known.get(name).cloned());
        let (parsed, used) = parse_line(rest, line, &lookup);
        if let Some(Ok(assignment)) = &parsed {
            known.insert(assignment.name.clone(), assignment.value.clone());
        }
        found.extend(parsed);
        line += rest[..used].matches('\n').count();
        rest = &rest[used..];
    }
    found
}

type Parsed = Option<Result<Assignment, Malformed>>;

/// Parses the first line of `text`, which is several if a quoted value is. Returns how many bytes of `text` it has.
fn parse_line(text: &str, line: usize, lookup: &dyn Fn(&str) -> Option<String>) -> (Parsed, usize) {
    let end = text.find('\n').map_or(text.len(), |end| end + 1);
    let first = text[..end].trim();
    if first.is_empty() || first.starts_with('#') {
        return (None, end);
    }
    let is_separator = |c: char| c == '=' || c == ':' || c.is_whitespace();
    let unexported = first.strip_prefix("export ").unwrap_or(first).trim_start();
    let malformed = |what| {
        let name = unexported.split(is_separator).next().unwrap_or_default().to_owned();
        (Some(Err(Malformed { line, name, what })), end)
    };
    let Some((name, _)) = unexported.split_once('=') else { return malformed(NOT_ASSIGNMENT) };
    let name = name.trim_end();
    if name.is_empty() || name.contains(char::is_whitespace) {
        return malformed(NOT_ASSIGNMENT);
    }
    let start = text.find('=').map_or(end, |at| at + 1);
    let written = text[start..end].trim_start();
    let value_at = end - written.len();
    let read = match written.chars().next() {
        Some(quote @ ('\'' | '"')) => read_quoted(&text[value_at..], quote, lookup),
        _ => Ok(read_unquoted(written.trim_end(), lookup)).map(|value| (value, end - value_at)),
    };
    match read {
        Ok((Value { text, doubt }, used)) => {
            // Commas separate keys.
            let is_empty = text.trim_matches(|c: char| c == ',' || c.is_whitespace()).is_empty();
            let doubt = doubt.or_else(|| (is_empty && !written.trim_end().is_empty()).then_some(EMPTY));
            (Some(Ok(Assignment { line, name: name.to_owned(), value: text, doubt })), value_at + used)
        }
        Err(what) => malformed(what),
    }
}

#[derive(Default)]
struct Value {
    text: String,
    doubt: Option<&'static str>,
}

/// Reads a value without quotes: to the end of its line, or to a `#` at its start or after white space.
fn read_unquoted(written: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Value {
    let is_comment = |at: &usize| *at == 0 || written[..*at].ends_with(|before: char| before.is_whitespace());
    let comment = written.match_indices('#').map(|(at, _)| at).find(is_comment);
    let text = written[..comment.unwrap_or(written.len())].trim_end();
    let mut value = expand(text, lookup, |escaped| "\\\"'$# ".contains(escaped));
    value.doubt = comment.map(|_| COMMENT).or(value.doubt);
    value
}

/// Reads a value that begins with `quote`, and the rest of the line on which it ends. Returns how many bytes those are.
fn read_quoted(
    text: &str,
    quote: char,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<(Value, usize), &'static str> {
    let mut escaped = false;
    let close = text.char_indices().skip(1).find_map(|(at, c)| {
        let ends = c == quote && !escaped;
        escaped = quote == '"' && c == '\\' && !escaped;
        ends.then_some(at)
    });
    let close = close.ok_or(UNCLOSED)?;
    let end = text[close..].find('\n').map_or(text.len(), |end| close + end + 1);
    let after = text[close + 1..end].trim();
    if !after.is_empty() && !after.starts_with('#') {
        return Err(AFTER_QUOTE);
    }
    let inner = &text[1..close];
    let value = match quote {
        '\'' => Value { text: inner.to_owned(), doubt: None },
        _ => expand(inner, lookup, |escaped| "\\\"$`n".contains(escaped)),
    };
    Ok((value, end))
}

/// Replaces `${NAME}` where `NAME` is set, and `\c` where `c` can be escaped.
fn expand(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    can_be_escaped: impl Fn(char) -> bool,
) -> Value {
    let (mut value, mut rest) = (Value::default(), text);
    while let Some(at) = rest.find(['\\', '$']) {
        value.text.push_str(&rest[..at]);
        let special = &rest[at..];
        let (replacement, used) = match special.chars().nth(1) {
            Some('n') if special.starts_with('\\') && can_be_escaped('n') => ("\n".to_owned(), 2),
            Some(c) if special.starts_with('\\') && can_be_escaped(c) => (c.to_string(), 1 + c.len_utf8()),
            Some('{') if special.starts_with('$') => {
                let is_whole = special.len() == text.len();
                reference(special, is_whole, lookup, &mut value.doubt)
            }
            _ => (special[..1].to_owned(), 1),
        };
        value.text.push_str(&replacement);
        rest = &special[used..];
    }
    value.text.push_str(rest);
    value
}

/// Returns what stands for the reference at the start of `text`, and how many bytes it replaces. `is_whole`: `text` is the
/// whole value.
fn reference(
    text: &str,
    is_whole: bool,
    lookup: &dyn Fn(&str) -> Option<String>,
    doubt: &mut Option<&'static str>,
) -> (String, usize) {
    let as_written = (text[..2].to_owned(), 2);
    let Some(name) = text.find('}').map(|end| &text[2..end]) else { return as_written };
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(is_name) {
        return as_written;
    }
    let Some(value) = lookup(name) else {
        if is_whole && text.len() == name.len() + 3 {
            *doubt = Some(REFERENCE);
        }
        return as_written;
    };
    if value.is_empty() {
        *doubt = Some(EMPTY_REFERENCE);
    }
    (value, name.len() + 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(usize, String, String)> {
        let lookup = |name: &str| match name {
            "HOME_PAGE" => Some("example.com".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let parsed = parse(text, lookup).into_iter();
        let shown = parsed.map(|parsed| match parsed {
            Ok(Assignment { line, name, value, doubt }) => {
                (line, name, doubt.map_or(value.clone(), |doubt| format!("{value} ({doubt})")))
            }
            Err(Malformed { line, name, what }) => (line, name, format!("! {what}")),
        });
        shown.collect()
    }

    #[track_caller]
    fn assert_value(written: &str, value: &str) {
        assert_eq!(read(&format!("KEY={written}\n")), [(1, "KEY".to_owned(), value.to_owned())]);
    }

    #[test]
    fn values_are_read_as_they_are_written() {
        assert_value("abc", "abc");
        assert_value("", "");
        assert_value("  abc  ", "abc");
        assert_value("100 per hour", "100 per hour");
        assert_value("abc\r", "abc");
        assert_value("a#b", "a#b");
        assert_value("a=b=", "a=b=");
        assert_value("Str0ng$ecret", "Str0ng$ecret");
        assert_value("$ecret", "$ecret");
        assert_value("a${b", "a${b");
        assert_value("a${b-c}", "a${b-c}");
        assert_value("Str0ng${NOT_SET}", "Str0ng${NOT_SET}");
        assert_value("C:\\data", "C:\\data");
        assert_value("Str0ng\\$ecret", "Str0ng$ecret");
        assert_value("'a $b # \"c\" \\n'", "a $b # \"c\" \\n");
        assert_value("\"a \\\"b\\\" # \\$c \\n\"", "a \"b\" # $c \n");
        assert_value("'abc' # a comment", "abc");
        assert_value("https://${HOME_PAGE}/", "https://example.com/");
        assert_value("\"${HOME_PAGE}\"", "example.com");
        assert_value("'${HOME_PAGE}'", "${HOME_PAGE}");
    }

    #[test]
    fn a_value_that_reads_as_shorter_than_written_is_in_doubt() {
        assert_value("#abc", &format!(" ({COMMENT})"));
        assert_value("abc #def", &format!("abc ({COMMENT})"));
        assert_value("${NOT_SET}", &format!("${{NOT_SET}} ({REFERENCE})"));
        for written in ["\"\"", "''", "\"  \"", ","] {
            let read = read(&format!("KEY={written}\n"));
            assert!(read[0].2.ends_with(&format!(" ({EMPTY})")), "{read:?}");
        }
        assert_value("${EMPTY}", &format!(" ({EMPTY_REFERENCE})"));
    }

    #[test]
    fn lines_are_numbered_and_bad_ones_named() {
        let text = "\u{feff}A=1\n\n# a comment\nexport B = 2\nno assignment\nKEY: abc\nC=\"x\ny\"\nD='open\nE=${A}\nF='x' y\n";
        let bad = |what: &str| format!("! {what}");
        let row = |line, name: &str, value: &str| (line, name.to_owned(), value.to_owned());
        assert_eq!(
            read(text),
            [
                row(1, "A", "1"),
                row(4, "B", "2"),
                row(5, "no", &bad(NOT_ASSIGNMENT)),
                row(6, "KEY", &bad(NOT_ASSIGNMENT)),
                row(7, "C", "x\ny"),
                // Its quote is closed four lines below, by that of another value.
                row(9, "D", &bad(AFTER_QUOTE)),
                row(10, "E", "1"),
                row(11, "F", &bad(AFTER_QUOTE)),
            ]
        );
    }
}
