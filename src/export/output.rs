//! Where an export goes.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::owned_file::create;

/// Where an export goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Standard,
    /// A file, which is compressed if its name ends in `.gz`.
    File(PathBuf),
}

impl std::str::FromStr for Destination {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text == "-" { Self::Standard } else { Self::File(text.into()) })
    }
}

/// An open destination. A file has its name only once it is whole, and only its owner may read it.
#[derive(Debug)]
pub struct Output {
    writer: Writer,
    /// The names of the file until it is whole, and then.
    names: Option<(PathBuf, PathBuf)>,
}

#[derive(Debug)]
enum Writer {
    Plain(BufWriter<File>),
    Gzip(Box<GzEncoder<BufWriter<File>>>),
    Standard(io::Stdout),
}

impl Output {
    /// Opens the destination.
    pub fn open(destination: &Destination) -> io::Result<Self> {
        let Destination::File(path) = destination else {
            return Ok(Self { writer: Writer::Standard(io::stdout()), names: None });
        };
        let mut partial = path.clone().into_os_string();
        partial.push(".part");
        let partial = PathBuf::from(partial);
        let file = BufWriter::new(create(&partial)?);
        let is_gzip = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"));
        let writer = match is_gzip {
            true => Writer::Gzip(Box::new(GzEncoder::new(file, Compression::fast()))),
            false => Writer::Plain(file),
        };
        Ok(Self { writer, names: Some((partial, path.clone())) })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.writer {
            Writer::Plain(file) => file.write_all(bytes),
            Writer::Gzip(file) => file.write_all(bytes),
            Writer::Standard(output) => output.write_all(bytes).and_then(|()| output.flush()),
        }
    }

    /// Gives the file its name.
    pub fn finish(self) -> io::Result<()> {
        let file = match self.writer {
            Writer::Plain(file) => file.into_inner()?,
            Writer::Gzip(file) => file.finish()?.into_inner()?,
            Writer::Standard(mut output) => return output.flush(),
        };
        file.sync_all()?;
        let Some((partial, path)) = self.names else { return Ok(()) };
        std::fs::rename(partial, path)
    }

    /// Removes the file, which is not whole.
    pub fn discard(self) {
        if let Some((partial, _)) = self.names {
            // It may be gone already.
            drop(std::fs::remove_file(partial));
        }
    }
}
