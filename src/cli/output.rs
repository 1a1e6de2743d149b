//! What commands print. Standard output may be closed, full, or a pipe whose reader is gone.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use super::fail;

/// Writes `text` and a line break to standard output.
pub(super) fn print(text: impl Display) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{text}")?;
    output.flush()
}

/// Writes `text` and a line break to standard error; without a reader it is lost.
pub(super) fn print_error(text: impl Display) {
    drop(writeln!(io::stderr(), "{text}"));
}

/// Writes `text` as it is to standard error; without a reader it is lost.
pub(super) fn print_progress(text: impl Display) {
    let mut output = io::stderr().lock();
    drop(write!(output, "{text}").and_then(|()| output.flush()));
}

/// Prints the result of a command that ends with `code`. A reader that is gone, such as `head`, wants no more: that is no failure.
pub(super) fn finish(text: impl Display, code: ExitCode) -> ExitCode {
    match print(text) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            fail(format!("cannot write to standard output: {error}"))
        }
        Ok(()) | Err(_) => code,
    }
}

/// Returns rows below a head, in columns as wide as their widest cell.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let head = [head.map(str::to_owned)];
    let lines = || head.iter().chain(rows);
    let width = |column: usize| lines().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    lines().map(line).collect::<Vec<_>>().join("\n")
}
