//! Looks at the bytes of a request's head for what `hyper` does not tell: a `Content-Length` beside a `Transfer-Encoding`, which
//! another server may read as the end of the request (RFC 9112, section 6.1), and the preface of HTTP/2.

/// The beginning of the preface of HTTP/2 (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0";

const TRANSFER_ENCODING: &[u8] = b"transfer-encoding";
const CONTENT_LENGTH: &[u8] = b"content-length";

/// The longest beginning of a line that matters.
const MAX_PREFIX: usize = TRANSFER_ENCODING.len();

/// The head of a request as far as it has arrived.
#[derive(Debug, Default)]
pub(super) struct RawHead {
    /// The beginning of the current line.
    prefix: [u8; MAX_PREFIX],
    prefix_len: usize,
    progress: Progress,
    has_transfer_encoding: bool,
    has_content_length: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Progress {
    /// Only empty lines, if any, which are skipped.
    #[default]
    Begun,
    InLines,
    Complete,
}

impl RawHead {
    /// Takes in the next bytes; those that follow the head are ignored. Returns whether the head is complete with them.
    pub(super) fn read(&mut self, bytes: &[u8]) -> bool {
        if self.progress == Progress::Complete {
            return false;
        }
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let wanted = line.len().min(MAX_PREFIX - self.prefix_len);
            self.prefix[self.prefix_len..][..wanted].copy_from_slice(&line[..wanted]);
            self.prefix_len += wanted;
            if line.ends_with(b"\n") {
                self.end_line();
                if self.progress == Progress::Complete {
                    return true;
                }
            }
        }
        false
    }

    fn end_line(&mut self) {
        let prefix = &self.prefix[..self.prefix_len];
        let is = |name: &[u8]| prefix.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        self.has_transfer_encoding |= is(TRANSFER_ENCODING);
        self.has_content_length |= is(CONTENT_LENGTH);
        let is_empty = matches!(prefix, b"\n" | b"\r\n");
        self.progress = match (is_empty, &self.progress) {
            (false, _) => Progress::InLines,
            (true, Progress::Begun) => Progress::Begun,
            (true, _) => Progress::Complete,
        };
        self.prefix_len = 0;
    }

    /// Returns whether the head states the length of the body in two ways.
    pub(super) fn is_ambiguous(&self) -> bool {
        self.has_transfer_encoding && self.has_content_length
    }
}

/// If `bytes` begin with the preface of HTTP/2, makes them what `hyper` rejects with a response: to a preface it sends none.
pub(super) fn spoil_http2(bytes: &mut [u8]) -> bool {
    let is_http2 = bytes.starts_with(HTTP2_PREFACE);
    if is_http2 {
        bytes[..3].fill(b'X');
    }
    is_http2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_ambiguous(head: &str) -> bool {
        let mut whole = RawHead::default();
        assert!(whole.read(head.as_bytes()), "{head:?} is complete");
        let mut bytewise = RawHead::default();
        let complete = head.bytes().filter(|byte| bytewise.read(&[*byte])).count();
        assert_eq!((complete, bytewise.is_ambiguous()), (1, whole.is_ambiguous()));
        whole.is_ambiguous()
    }

    #[test]
    fn two_lengths_are_seen_in_any_order_and_case() {
        assert!(is_ambiguous("POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"));
        assert!(is_ambiguous("\r\nPOST / HTTP/1.1\nTRANSFER-ENCODING:chunked\ncontent-length:3\n\n"));
    }

    #[test]
    fn one_length_is_not_ambiguous_whatever_the_body_says() {
        assert!(!is_ambiguous(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\nContent-Length: 3\r\n"
        ));
        assert!(!is_ambiguous(
            "POST / HTTP/1.1\r\nX-Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
        ));
    }

    #[test]
    fn the_preface_of_http2_is_spoilt() {
        let mut preface = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        assert!(spoil_http2(&mut preface));
        assert!(preface.starts_with(b"XXX * HTTP/2.0\r\n"));
        assert!(!spoil_http2(&mut b"GET / HTTP/1.1\r\n".to_owned()));
    }
}
