//! What is read: a file, standard input, or a table of another database, as bytes in one of two formats.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::ValueEnum;
use flate2::bufread::MultiGzDecoder;
use tokio::sync::mpsc;

use crate::store::SourceTable;

/// The size of a read.
const BUFFER: usize = 128 * 1024;

/// The format of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Comma-separated values; the first line names the columns
    Csv,
    /// A JSON object per line
    Ndjson,
}

/// What is read.
#[derive(Debug)]
pub enum Input {
    /// Standard input.
    Standard,
    /// A file.
    File(PathBuf),
    /// The rows of a table, as CSV.
    Table(mpsc::Receiver<io::Result<Vec<u8>>>),
}

/// Why the input cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The file cannot be opened, or its directory is none.
    #[error("cannot open {}: {error}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Reading failed midway.
    #[error("cannot read on: {0}")]
    Read(#[from] io::Error),
    /// There is nothing in it.
    #[error("there is nothing to read")]
    Empty,
    /// It is not in UTF-8.
    #[error("the input is in UTF-16; save it as UTF-8")]
    Utf16,
    /// It is one JSON array.
    #[error("the input is a JSON array; write one object per line, as jq -c '.[]' does")]
    Array,
    /// A column is missing from the first line of CSV.
    #[error(
        "the first line has no column {0}; it must name the columns, separated by commas, as COPY … WITH (FORMAT csv, HEADER) does"
    )]
    NoColumn(&'static str),
}

/// The input, open and decompressed.
pub(super) struct Opened {
    pub(super) bytes: Box<dyn BufRead + Send>,
    pub(super) format: Format,
    /// How many bytes of the file were read.
    pub(super) position: Arc<AtomicU64>,
}

/// Sends the rows of a table to where they are read, or why they cannot be read on.
pub async fn send_table(table: SourceTable, parts: mpsc::Sender<io::Result<Vec<u8>>>) {
    let copied = table.copy(async |part| parts.send(Ok(part)).await.is_ok()).await;
    if let Err(error) = copied {
        // Whoever has stopped reading needs no reason.
        drop(parts.send(Err(io::Error::other(error))).await);
    }
}

impl Input {
    /// Returns the size of the input in bytes, if it is known.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        let Self::File(path) = self else { return None };
        path.metadata().ok().filter(std::fs::Metadata::is_file).map(|file| file.len())
    }

    /// Opens the input. Without a `format` its first bytes tell.
    pub(super) fn open(self, format: Option<Format>) -> Result<Opened, InputError> {
        let position = Arc::<AtomicU64>::default();
        let raw: Box<dyn Read + Send> = match self {
            Self::Standard => Box::new(io::stdin()),
            Self::Table(parts) => Box::new(Parts { coming: parts, part: Vec::new(), at: 0 }),
            Self::File(path) => {
                let open = File::open(&path).and_then(|file| match file.metadata()?.is_dir() {
                    true => Err(io::ErrorKind::IsADirectory.into()),
                    false => Ok(file),
                });
                Box::new(open.map_err(|error| InputError::Open { path, error })?)
            }
        };
        let counted = Counted { inner: raw, position: position.clone() };
        let mut bytes: Box<dyn BufRead + Send> = Box::new(BufReader::with_capacity(BUFFER, counted));
        if bytes.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
            bytes = Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(bytes)));
        }
        let found = sniff(&mut bytes)?;
        Ok(Opened { bytes, format: format.unwrap_or(found), position })
    }
}

/// Tells the format by the first bytes. A byte order mark and blank space before the rows are skipped.
fn sniff(bytes: &mut Box<dyn BufRead + Send>) -> Result<Format, InputError> {
    loop {
        let start = bytes.fill_buf()?;
        let skipped = match start {
            [] => return Err(InputError::Empty),
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return Err(InputError::Utf16),
            [0xef, 0xbb, 0xbf, ..] => 3,
            [b' ' | b'\t' | b'\r' | b'\n', ..] => 1,
            [b'{', ..] => return Ok(Format::Ndjson),
            [b'[', ..] => return Err(InputError::Array),
            _ => return Ok(Format::Csv),
        };
        bytes.consume(skipped);
    }
}

/// Counts the bytes that are read.
struct Counted<R> {
    inner: R,
    position: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.position.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// The parts of a stream, on a thread that may wait for them.
struct Parts {
    coming: mpsc::Receiver<io::Result<Vec<u8>>>,
    part: Vec<u8>,
    at: usize,
}

impl Read for Parts {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.part.len() {
            let Some(next) = self.coming.blocking_recv() else { return Ok(0) };
            (self.part, self.at) = (next?, 0);
        }
        let left = &self.part[self.at..];
        let length = left.len().min(into.len());
        into[..length].copy_from_slice(&left[..length]);
        self.at += length;
        Ok(length)
    }
}
