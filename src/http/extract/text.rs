//! Makes the text of a JSON body what the parser expects: UTF-8 without a byte order mark and without halves of surrogate pairs.

use axum::body::Bytes;

use crate::event::Refusal;
use crate::http::error::ApiError;

/// The byte order mark of UTF-8. A parser may skip it (RFC 8259, section 8.1).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Returns the text of `body`, or which encoding it has instead of UTF-8.
pub(super) fn utf8(mut body: Bytes) -> Result<Bytes, ApiError> {
    if let Some(encoding) = other_encoding(&body) {
        return Err(Refusal::NotUtf8(encoding).into());
    }
    if body.starts_with(BYTE_ORDER_MARK) {
        body = body.slice(BYTE_ORDER_MARK.len()..);
    }
    Ok(replace_lone_surrogates(&body).map_or(body, Bytes::from))
}

/// Returns the encoding of a text that is not UTF-8, by its byte order mark or by where its first bytes are zero (RFC 4627,
/// section 3).
fn other_encoding(body: &[u8]) -> Option<&'static str> {
    let of_marked = match body {
        [0, 0, 0xfe, 0xff, ..] | [0xff, 0xfe, 0, 0, ..] => Some("UTF-32"),
        [0xfe, 0xff, ..] | [0xff, 0xfe, ..] => Some("UTF-16"),
        _ => None,
    };
    of_marked.or(match body {
        [0, 0, 0, _, ..] | [_, 0, 0, 0, ..] => Some("UTF-32"),
        [0, _, ..] | [_, 0, ..] => Some("UTF-16"),
        _ => None,
    })
}

/// Returns `json` with `\ufffd`, the replacement character, for each escaped half of a surrogate pair that stands alone, as in a
/// text that was cut within an emoji. `None` if there is none.
fn replace_lone_surrogates(json: &[u8]) -> Option<Vec<u8>> {
    let (mut replaced, mut at, mut copied) = (Vec::new(), 0, 0);
    while let Some(found) = json[at..].iter().position(|byte| *byte == b'\\') {
        let start = at + found;
        let (unit, next) = (escaped_unit(&json[start..]), json.get(start + 6..).and_then(escaped_unit));
        at = match (unit, next) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => start + 12,
            (Some(0xd800..=0xdfff), _) => {
                replaced.extend_from_slice(&json[copied..start]);
                replaced.extend_from_slice(b"\\ufffd");
                copied = start + 6;
                copied
            }
            _ => (start + 2).min(json.len()),
        };
    }
    (copied > 0).then(|| [replaced.as_slice(), &json[copied..]].concat())
}

/// Returns the UTF-16 code unit of the escape `\uXXXX` at the start of `json`.
fn escaped_unit(json: &[u8]) -> Option<u16> {
    let digits =
        json.strip_prefix(b"\\u")?.get(..4).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    u16::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_text(body: &[u8], text: &str) {
        assert_eq!(utf8(Bytes::copy_from_slice(body)).unwrap(), text);
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        assert_text("\u{feff}{\"a\":1}".as_bytes(), "{\"a\":1}");
        assert_text(b"{}", "{}");
        assert_text(b"", "");
        assert_text(b"1", "1");
    }

    #[test]
    fn other_encodings_are_named() {
        let (text, mark) = (r#"{"a":"ü"}"#, "\u{feff}");
        for marked in [text.to_owned(), format!("{mark}{text}")] {
            let refused = |bytes: Vec<u8>| utf8(bytes.into()).unwrap_err();
            let units: Vec<u16> = marked.encode_utf16().collect();
            let utf16 = ApiError::from(Refusal::NotUtf8("UTF-16"));
            assert_eq!(refused(units.iter().flat_map(|unit| unit.to_le_bytes()).collect()), utf16);
            assert_eq!(refused(units.iter().flat_map(|unit| unit.to_be_bytes()).collect()), utf16);
            let utf32 = ApiError::from(Refusal::NotUtf8("UTF-32"));
            assert_eq!(refused(marked.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect()), utf32);
            assert_eq!(refused(marked.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect()), utf32);
        }
    }

    #[test]
    fn halves_of_surrogate_pairs_are_replaced() {
        assert_text(br#"{"a":"x\ud83d"}"#, r#"{"a":"x\ufffd"}"#);
        assert_text(br#"{"a":"\uDE00x\ud83d\ud83d\ude00"}"#, r#"{"a":"\ufffdx\ufffd\ud83d\ude00"}"#);
        assert_text(br#"{"a":"\\ud83d \ud83d\u0041"}"#, r#"{"a":"\\ud83d \ufffd\u0041"}"#);
        assert_text(br#"{"a":"\ud83d\ude00 \n \u00e4 \"#, r#"{"a":"\ud83d\ude00 \n \u00e4 \"#);
        assert_text(br#"{"\ud83d":1}"#, r#"{"\ufffd":1}"#);
    }
}
