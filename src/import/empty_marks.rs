//! Tells empty texts from nulls in CSV. Postgres writes an empty text as `""` and null as nothing, and a parser of CSV returns the same for
//! both. So a quoted cell without content gets one: [`EMPTY`], which no text can be.

use std::io::{self, BufRead, Read};

/// The content of a cell that is an empty text.
pub(super) const EMPTY: &str = "\u{1}";

/// Marks the cells that are quoted and empty in a stream of CSV.
pub(super) struct EmptyMarks<R> {
    inner: R,
    state: State,
    /// Bytes that are read and not returned yet.
    ready: Vec<u8>,
    at: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the start of a cell.
    Start,
    /// In a cell without quotes, or behind its closing quote.
    Bare,
    /// Right behind the quote that opens a cell.
    Opened,
    /// In a quoted cell.
    Quoted,
    /// Behind a quote in a quoted cell: its end, or the first of two that stand for one.
    Quote,
    /// Behind two quotes at the start of a cell: it is empty, unless a third follows.
    Closed,
}

impl<R: BufRead> EmptyMarks<R> {
    pub(super) const fn new(inner: R) -> Self {
        Self { inner, state: State::Start, ready: Vec::new(), at: 0 }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.ready.clear();
        self.at = 0;
        let read = self.inner.fill_buf()?;
        let length = read.len();
        if length == 0 && self.state == State::Closed {
            self.ready.extend_from_slice(EMPTY.as_bytes());
            self.ready.push(b'"');
            self.state = State::Bare;
        }
        match (self.state, read.last()) {
            // Mostly there is no quote.
            (State::Start | State::Bare, Some(last)) if !read.contains(&b'"') => {
                self.ready.extend_from_slice(read);
                self.state = if matches!(last, b',' | b'\n' | b'\r') { State::Start } else { State::Bare };
            }
            _ => {
                for byte in read {
                    self.state = step(self.state, *byte, &mut self.ready);
                }
            }
        }
        self.inner.consume(length);
        // The second of two quotes waits for what follows.
        if length > 0 && self.ready.is_empty() { self.fill() } else { Ok(()) }
    }
}

/// Adds what stands for a byte, and returns the state after it.
fn step(state: State, byte: u8, ready: &mut Vec<u8>) -> State {
    if state == State::Closed {
        match byte {
            b'"' => ready.push(b'"'),
            _ => ready.extend_from_slice(EMPTY.as_bytes()),
        }
        ready.push(b'"');
        if byte == b'"' {
            return State::Quoted;
        }
    }
    let next = match (state, byte) {
        (State::Opened, b'"') => return State::Closed,
        (State::Quoted, b'"') => State::Quote,
        (State::Opened | State::Quoted, _) | (State::Quote, b'"') => State::Quoted,
        (_, b',' | b'\n' | b'\r') => State::Start,
        (State::Start, b'"') => State::Opened,
        _ => State::Bare,
    };
    ready.push(byte);
    next
}

impl<R: BufRead> Read for EmptyMarks<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.ready.len() {
            self.fill()?;
        }
        let left = &self.ready[self.at..];
        let length = left.len().min(into.len());
        into[..length].copy_from_slice(&left[..length]);
        self.at += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn cells(text: &str) -> Vec<Vec<String>> {
        // A buffer of one byte splits everything everywhere.
        (1..6)
            .map(|size| {
                let marks = EmptyMarks::new(BufReader::with_capacity(size, text.as_bytes()));
                let mut reader =
                    csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(marks);
                let rows = reader.records().map(|row| row.unwrap().iter().map(ToOwned::to_owned).collect());
                rows.collect::<Vec<Vec<String>>>()
            })
            .reduce(|one, other| {
                assert_eq!(one, other);
                one
            })
            .unwrap()
    }

    #[test]
    fn only_cells_that_are_quoted_and_empty_are_marked() {
        for (text, expected) in [
            ("a,,b", vec![vec!["a", "", "b"]]),
            ("a,\"\",b\n\"\"\r\n,\"\"", vec![vec!["a", EMPTY, "b"], vec![EMPTY], vec!["", EMPTY]]),
            ("\"\"\"\",\"\"\"a\"\"\",\"a\"\"b\"", vec![vec!["\"", "\"a\"", "a\"b"]]),
            ("\"a,\"\",b\",\"x\ny\"\n\"\"", vec![vec!["a,\",b", "x\ny"], vec![EMPTY]]),
            ("a\"\",b", vec![vec!["a\"\"", "b"]]),
        ] {
            assert_eq!(cells(text), expected, "{text}");
        }
    }
}
