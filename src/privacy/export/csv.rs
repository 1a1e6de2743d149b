//! Rows as CSV (RFC 4180), with cells that spreadsheets do not run as formulas.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::value::RawValue;

/// Makes Excel read the file as UTF-8.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The first characters that make a spreadsheet treat a cell as a formula, full-width forms included.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];

/// What separates cells for spreadsheets that do not separate them at commas, or do not heed quotes. Each may begin a cell.
const SEPARATORS: [char; 4] = [';', '\t', '\r', '\n'];

/// Writes rows, each a JSON object, as CSV with a header.
pub fn write(columns: &[String], rows: &[Box<RawValue>]) -> Result<Vec<u8>, csv::Error> {
    let mut sheet = BYTE_ORDER_MARK.as_bytes().to_vec();
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(&mut sheet);
    writer.write_record(columns.iter().map(|column| defused(column).into_owned()))?;
    for row in rows {
        let fields: HashMap<Cow<'_, str>, &RawValue> = serde_json::from_str(row.get()).unwrap_or_default();
        let cells = columns.iter().map(|column| cell(fields.get(column.as_str()).copied()));
        writer.write_record(cells)?;
    }
    writer.flush()?;
    drop(writer);
    Ok(sheet)
}

/// Returns a value as a cell: a string as it is, an empty cell for null, anything else as JSON.
fn cell(value: Option<&RawValue>) -> String {
    let json = value.map_or("null", RawValue::get);
    match json.as_bytes().first() {
        Some(b'"') => {
            let text: String = serde_json::from_str(json).unwrap_or_default();
            defused(&text).into_owned()
        }
        Some(b'{' | b'[') => defused(json).into_owned(),
        _ if json == "null" => String::new(),
        _ => json.to_owned(),
    }
}

/// Prepends an apostrophe to every part of a text that a spreadsheet may take for a cell with a formula: at its beginning, and after
/// each separator. Removing these apostrophes restores the text.
fn defused(text: &str) -> Cow<'_, str> {
    let parts = || text.split_inclusive(SEPARATORS);
    if !text.starts_with(SEPARATORS) && !parts().any(is_formula) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for (index, part) in parts().enumerate() {
        // Some spreadsheets leave white space out at the beginning of a cell.
        let is_blank = index == 0 && part.starts_with(['\t', '\r', '\n']);
        if is_blank || is_formula(part) {
            safe.push('\'');
        }
        safe.push_str(part);
    }
    Cow::Owned(safe)
}

/// Returns whether a spreadsheet may treat a part of a text as a formula: it begins with one behind white space and quotes, and is no
/// plain number. A part that has the apostrophe already gets another, so that the two can be distinguished.
fn is_formula(part: &str) -> bool {
    let part = part.strip_suffix(SEPARATORS).unwrap_or(part);
    let begin = part.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\''));
    begin.starts_with(FORMULA) && !is_number(part)
}

/// Returns whether a text is a negative number.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or_default();
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    all_digits(whole) && all_digits(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet(columns: &[&str], rows: &[&str]) -> String {
        let columns: Vec<String> = columns.iter().map(|column| (*column).to_owned()).collect();
        let rows: Vec<_> = rows.iter().map(|row| RawValue::from_string((*row).to_owned()).unwrap()).collect();
        let sheet = String::from_utf8(write(&columns, &rows).unwrap()).unwrap();
        sheet.strip_prefix(BYTE_ORDER_MARK).unwrap().to_owned()
    }

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        let rows =
            [r#"{"b":"say \"hi\",\r\nyou","a":1.50}"#, r#"{"a":null,"b":{"x":[1,2]}}"#, r#"{"a":true}"#];
        assert_eq!(
            sheet(&["a", "b"], &rows),
            "a,b\r\n1.50,\"say \"\"hi\"\",\r\nyou\"\r\n,\"{\"\"x\"\":[1,2]}\"\r\ntrue,\r\n"
        );
    }

    #[test]
    fn formulas_are_escaped_and_numbers_are_not() {
        for (text, cell) in [
            ("=1+1", "'=1+1"),
            ("+49151234567", "'+49151234567"),
            ("-2+3", "'-2+3"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t'=1"),
            ("\ta", "'\ta"),
            ("＝1", "'＝1"),
            ("-5", "-5"),
            ("-5.25", "-5.25"),
            ("-", "'-"),
            ("a=1", "a=1"),
            ("", ""),
            ("a;=1+1", "a;'=1+1"),
            ("a;b\t=1+1;-5;-5x", "a;b\t'=1+1;-5;'-5x"),
            (";=1", ";'=1"),
            ("Dear all\n=1+1\r\n@SUM(A1)\n-2", "Dear all\n'=1+1\r\n'@SUM(A1)\n-2"),
            ("a; =1", "a;' =1"),
            ("a;\"=1+1\"", "a;'\"=1+1\""),
            ("'=1", "''=1"),
            ("it's; fine, 'quoted'\nand -more", "it's; fine, 'quoted'\nand -more"),
        ] {
            assert_eq!(defused(text), cell);
        }
        assert_eq!(sheet(&["=a"], &[r#"{"=a":-5}"#, r#"{"=a":"\r=1"}"#]), "'=a\r\n-5\r\n\"'\r'=1\"\r\n");
        let nested = sheet(&["a"], &[r#"{"a":{"b":";=1"}}"#]);
        assert_eq!(nested, "a\r\n\"{\"\"b\"\":\"\";'=1\"\"}\"\r\n");
    }
}
