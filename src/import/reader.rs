//! Reads the input on a thread of its own, ahead of what is written.

use std::sync::atomic::Ordering;

use tokio::sync::mpsc;

use super::input::{Format, Input, InputError};
use super::rows::Rows;
use super::{Now, RefusedRow};
use crate::event::Event;

/// Rows that are written together.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) events: Vec<Event>,
    /// The ids of their rows in the table that they come from.
    pub(super) row_ids: Vec<Option<i64>>,
    /// Their lines.
    pub(super) lines: Vec<u64>,
    /// Rows that are refused.
    pub(super) refused: Vec<RefusedRow>,
    /// The number of labels that were redacted.
    pub(super) redacted: u64,
    /// How many bytes of the input this chunk ends at.
    pub(super) position: u64,
    /// Columns that are not read; in the first chunk only.
    pub(super) ignored: Vec<String>,
}

impl Chunk {
    /// The number of rows.
    pub(super) const fn rows(&self) -> usize {
        self.events.len() + self.refused.len()
    }
}

/// How to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) format: Option<Format>,
    /// Whether rows are told by their `id`.
    pub(super) named_by_id: bool,
    /// The number of rows per chunk.
    pub(super) rows: usize,
    pub(super) now: Now,
}

/// Reads all rows of `input` and sends them. Ends early if nobody receives them any more. Blocks.
pub(super) fn read(
    input: Input,
    reading: Reading,
    chunks: &mpsc::Sender<Result<Chunk, InputError>>,
) -> Result<(), InputError> {
    let opened = input.open(reading.format)?;
    let position = opened.position.clone();
    let mut rows = Rows::of(opened, reading.named_by_id)?;
    let mut chunk = Chunk { ignored: rows.ignored(), ..Chunk::default() };
    loop {
        let row = rows.next(reading.now)?;
        let is_end = row.is_none();
        match row {
            Some(Ok((line, told))) => {
                let mut event = told.event;
                chunk.redacted += event.redact_labels();
                chunk.events.push(event);
                chunk.row_ids.push(told.row_id);
                chunk.lines.push(line);
            }
            Some(Err(refused)) => chunk.refused.push(refused),
            None => {}
        }
        if chunk.rows() >= reading.rows || is_end {
            chunk.position = position.load(Ordering::Relaxed);
            if chunks.blocking_send(Ok(std::mem::take(&mut chunk))).is_err() || is_end {
                return Ok(());
            }
        }
    }
}
